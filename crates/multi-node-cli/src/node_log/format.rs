//! How a line is shown.

use multi_node::admin::Source;
use multi_node::status::{NodeId, Slot};
use serde_json::json;

use super::lines::{GOES_ON, Line};
use crate::show::Paint;

/// Whose line it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) id: NodeId,
    /// `None`: that of the primary process.
    pub(crate) slot: Option<Slot>,
    pub(crate) pid: u32,
    pub(crate) stream: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// As it is.
    Plain,
    /// With slot and node in front, in the slot's colour.
    Prefixed(Paint),
    /// As an object.
    Json,
}

impl Format {
    /// The line with its end.
    pub(super) fn show(self, origin: Origin, line: &Line) -> Vec<u8> {
        let Origin { id, slot, pid, stream } = origin;
        let mut shown = match self {
            Format::Plain => Vec::new(),
            Format::Prefixed(Paint::Plain) => format!("{} │ ", prefix(origin)).into_bytes(),
            Format::Prefixed(Paint::Colours) => {
                format!("\x1b[{}m{} │\x1b[0m ", colour(slot), prefix(origin)).into_bytes()
            }
            Format::Json => {
                let text = String::from_utf8_lossy(&line.text);
                let mut object =
                    json!({ "slot": slot, "id": id.to_string(), "pid": pid, "stream": stream, "line": text });
                if line.goes_on {
                    object["goes_on"] = true.into();
                }
                return format!("{object}\n").into_bytes();
            }
        };
        shown.extend_from_slice(&line.text);
        if line.goes_on {
            shown.extend_from_slice(GOES_ON.as_bytes());
        }
        shown.push(b'\n');
        shown
    }

    /// What stands for lines that were left out.
    pub(super) fn show_gap(self, origin: Origin, missed: u64) -> Vec<u8> {
        let text = format!("[{missed} lines left out: they came faster than they could be written]");
        if self == Format::Json {
            let Origin { id, slot, pid, stream } = origin;
            let object = json!({ "slot": slot, "id": id.to_string(), "pid": pid, "stream": stream, "missed": missed });
            return format!("{object}\n").into_bytes();
        }
        self.show(origin, &Line { text: text.into_bytes(), goes_on: false })
    }
}

fn prefix(origin: Origin) -> String {
    let Origin { id, slot, .. } = origin;
    slot.map_or_else(|| id.to_string(), |slot| format!("{slot} {id}"))
}

/// Green to cyan without red, which is for errors, in turn (the codes of ECMA-48); white without a slot.
fn colour(slot: Option<Slot>) -> usize {
    const COLOURS: [usize; 5] = [32, 33, 34, 35, 36];
    const WHITE: usize = 37;
    slot.map_or(WHITE, |slot| COLOURS[slot.index() % COLOURS.len()])
}
