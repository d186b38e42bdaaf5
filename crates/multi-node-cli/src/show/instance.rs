//! Running programs.

use multi_node::admin::{Instance, SlotInfo, unix_ms};
use multi_node::status::{CertificateStatus, GatewayStatus, State, Waiting};

use super::table::Cell;
use super::{Colour, Paint, Table, bytes, count, span, sum};

/// One program with its slots, in lines of this width where that can be.
pub(crate) fn instance(instance: &Instance, paint: Paint, width: usize) -> String {
    let Instance { name, pid, addresses, started_ms, now_ms, .. } = instance;
    let up = span(now_ms.saturating_sub(*started_ms));
    let serving = serving(instance);
    let ready = format!("{serving} of {} serve", instance.wanted);
    let ready = paint.text(if instance.ready { Colour::Good } else { Colour::Passing }, &ready);
    let head = format!("{}  pid {pid}  up {up}  {ready}", paint.text(Colour::Head, name));
    let addresses = if addresses.is_empty() { String::new() } else { format!("\n{}", addresses.join("  ")) };
    let waits = waits(instance).map(|text| format!("\n{}", paint.text(Colour::Passing, &text))).unwrap_or_default();
    let certificates: String = instance.certificates.iter().map(|one| certificate(one, *now_ms, paint)).collect();
    let gateway = instance.gateway.as_ref().map(|one| gateway(one, paint)).unwrap_or_default();
    format!("{head}{addresses}{waits}{certificates}{gateway}\n\n{}", slots(&instance.slots, paint, width))
}

/// Whether this machine is joined to others, and what was lost on the way to them.
fn gateway(gateway: &GatewayStatus, paint: Paint) -> String {
    let GatewayStatus { pid, connected, machines, dropped, bad_frames, error, .. } = gateway;
    let (colour, state) = match (pid, connected) {
        (None, _) => (Colour::Bad, "not running".to_owned()),
        (_, false) => (Colour::Bad, "not connected to NATS".to_owned()),
        _ => (Colour::Good, format!("connected to NATS, {machines} other machines")),
    };
    let counted = [(*dropped, "messages dropped"), (*bad_frames, "bad frames")];
    let counted = counted.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!(", {number} {what}"));
    let error = error.iter().map(|error| format!("\n  {}", paint.text(Colour::Bad, error)));
    format!("\ngateway: {}{}{}", paint.text(colour, &state), counted.collect::<String>(), error.collect::<String>())
}

/// For how long a certificate is good, and what is wrong with its files.
fn certificate(certificate: &CertificateStatus, now_ms: u64, paint: Paint) -> String {
    let left = u64::try_from(certificate.expires).unwrap_or(0).saturating_mul(1000).saturating_sub(now_ms);
    let (colour, state) = match left {
        0 => (Colour::Bad, "has expired".to_owned()),
        left => (if left < SOON_MS { Colour::Passing } else { Colour::Good }, format!("expires in {}", span(left))),
    };
    let error = certificate.error.iter().map(|error| format!("\n  {}", paint.text(Colour::Bad, error)));
    format!("\ncertificate {}: {}{}", certificate.file, paint.text(colour, &state), error.collect::<String>())
}

/// Certificates that are renewed in time have longer.
const SOON_MS: u64 = 14 * 24 * 3600 * 1000;

/// Which command waits for which nodes, and until when.
fn waits(instance: &Instance) -> Option<String> {
    let Waiting { command, nodes, until, .. } = instance.waiting.as_ref()?;
    Some(match until {
        Some(until) => {
            let nodes = nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let left = span(unix_ms(*until).saturating_sub(instance.now_ms));
            format!("{command} waits for {nodes} to drain, {left} at most; `multi-node reload --now` does not")
        }
        None => format!("{command} waits for the one that is under way"),
    })
}

/// What a narrow terminal does without, the least needed first.
const LEAST_NEEDED: [&str; 9] =
    ["GEN", "CPU", "IN FLIGHT", "CONNS", "MEMORY", "PID", "REQUESTS", "LAST EXIT", "RESTARTS"];

fn slots(slots: &[SlotInfo], paint: Paint, width: usize) -> String {
    let mut table = Table::new(&[
        ("SLOT", true),
        ("NODE", false),
        ("PID", true),
        ("STATE", false),
        ("FOR", true),
        ("GEN", true),
        ("RESTARTS", true),
        ("CONNS", true),
        ("REQUESTS", true),
        ("IN FLIGHT", true),
        ("CPU", true),
        ("MEMORY", true),
        ("LAST EXIT", false),
    ]);
    slots.iter().for_each(|slot| table.row(slot_row(slot)));
    [table.within(width, &LEAST_NEEDED).text(paint), said(slots)].join("")
}

/// What is known of programs that do not link the library, and which nodes are held up, one line each.
fn said(slots: &[SlotInfo]) -> String {
    let mut known: Vec<(String, Vec<String>)> = Vec::new();
    for slot in slots {
        let (what, who) = (known_of(slot), count(slot.id.as_ref()));
        match known.iter_mut().find(|(same, _)| *same == what) {
            Some((_, nodes)) => nodes.push(who),
            None => known.push((what, vec![who])),
        }
    }
    let lines = known.iter().filter(|(what, _)| !what.is_empty());
    let lines: String = lines.map(|(what, who)| format!("\n{}: {what}", named(who, slots.len()))).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

fn known_of(slot: &SlotInfo) -> String {
    let ready = slot.ready_by.as_ref().map(|sign| format!("ready by {sign}"));
    let says = slot.says.as_ref().map(|text| format!("says {text:?}"));
    let preload = slot.preload.as_ref().map(|preload| format!("preload {preload}"));
    let held = slot.output_held.then(|| "waits until what it writes is taken".to_owned());
    ready.into_iter().chain(says).chain(preload).chain(held).collect::<Vec<_>>().join(", ")
}

/// These nodes, and their total.
fn named(nodes: &[String], of: usize) -> String {
    const MOST: usize = 4;
    match nodes.len() {
        all if all == of && all > 1 => "all nodes".to_owned(),
        few if few <= MOST => nodes.join(", "),
        many => format!("{many} nodes"),
    }
}

fn slot_row(slot: &SlotInfo) -> Vec<Cell> {
    let plain = |text: String| (text, None);
    vec![
        plain(slot.slot.to_string()),
        plain(count(slot.id.as_ref())),
        plain(count(slot.pid)),
        (slot.state.to_string(), Some(state_colour(slot.state))),
        plain(span(slot.for_ms)),
        plain(slot.generation.to_string()),
        plain(slot.restarts.to_string()),
        plain(count(slot.connections)),
        plain(count(slot.requests)),
        plain(count(slot.in_flight)),
        plain(count(slot.cpu_ms.map(span))),
        plain(count(slot.pss_bytes.map(bytes))),
        plain(count(slot.last_exit.as_ref())),
    ]
}

/// The colour of a state.
pub(crate) fn state_colour(state: State) -> Colour {
    match state {
        State::Serving => Colour::Good,
        State::Starting | State::Initializing | State::Draining | State::BackingOff => Colour::Passing,
        State::Killing | State::Exited | State::Failed => Colour::Bad,
        _ => Colour::Dim,
    }
}

/// How many nodes serve.
pub(crate) fn serving(instance: &Instance) -> usize {
    instance.slots.iter().filter(|slot| slot.state == State::Serving).count()
}

/// All running programs, a line each.
pub(crate) fn list(instances: &[Instance], paint: Paint) -> String {
    let mut table = Table::new(&[
        ("NAME", false),
        ("PID", true),
        ("UP", true),
        ("SERVING", true),
        ("REQUESTS", true),
        ("ADDRESSES", false),
    ]);
    for instance in instances {
        let ready = if instance.ready { Colour::Good } else { Colour::Passing };
        let requests = sum(instance.slots.iter().map(|slot| slot.requests));
        table.row([
            (instance.name.clone(), None),
            (instance.pid.to_string(), None),
            (span(instance.now_ms.saturating_sub(instance.started_ms)), None),
            (format!("{}/{}", serving(instance), instance.wanted), Some(ready)),
            (count(requests), None),
            (instance.addresses.join(" "), None),
        ]);
    }
    table.text(paint)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A program with one killed node and another that is starting.
    pub(crate) fn example() -> Instance {
        let slot = |slot: u16, id: &str, pid: u32, state: &str| {
            json!({
                "slot": slot, "id": id, "pid": pid, "state": state, "for_ms": 754_000, "generation": 1, "restarts": 0,
                "last_exit": null, "connections": 12, "requests": 10_423, "in_flight": 1, "cpu_ms": 12_300,
                "pss_bytes": 8_493_466,
            })
        };
        let mut starting = slot(1, "node-9", 4719, "starting");
        for (field, value) in [("for_ms", json!(340)), ("restarts", json!(2)), ("last_exit", json!("SIGKILL"))] {
            starting[field] = value;
        }
        for unknown in ["connections", "requests", "in_flight", "cpu_ms", "pss_bytes"] {
            starting[unknown] = json!(null);
        }
        serde_json::from_value(json!({
            "name": "web", "pid": 4711, "version": "0.1.0", "started_ms": 1_000, "now_ms": 11_521_000,
            "addresses": ["0.0.0.0:8080", "unix:/run/web.sock"], "ready": false, "wanted": 2,
            "slots": [slot(0, "node-1", 4712, "serving"), starting],
        }))
        .expect("an instance")
    }

    #[test]
    fn a_program_is_a_head_and_a_table() {
        let expected = "\
web  pid 4711  up 3 h 12 min  1 of 2 serve
0.0.0.0:8080  unix:/run/web.sock

SLOT  NODE     PID  STATE             FOR  GEN  RESTARTS  CONNS  REQUESTS  IN FLIGHT   CPU   MEMORY  LAST EXIT
   0  node-1  4712  serving   12 min 34 s    1         0     12     10423          1  12 s  8.1 MiB  –
   1  node-9  4719  starting       340 ms    1         2      –         –          –     –        –  SIGKILL";
        assert_eq!(instance(&example(), Paint::Plain, usize::MAX), expected);
    }

    #[test]
    fn certificates_stand_above_with_what_is_wrong() {
        let mut instance = example();
        let hour = instance.now_ms + 3_600_000;
        let certificate = json!({
            "server": 0, "file": "/tls/cert.pem", "names": ["a.example"], "expires_ms": hour, "error": "/tls/key.pem has no private key"
        });
        instance.certificates = vec![serde_json::from_value(certificate).expect("a certificate")];
        let shown = super::instance(&instance, Paint::Plain, usize::MAX);
        let said = "\ncertificate /tls/cert.pem: expires in 1 h 0 min\n  /tls/key.pem has no private key\n\nSLOT";
        assert!(shown.contains(said), "{shown}");
    }

    #[test]
    fn the_gateway_stands_above_with_what_is_lost() {
        let mut instance = example();
        let mut shows = |gateway: serde_json::Value, said: &str| {
            instance.gateway = Some(serde_json::from_value(gateway).expect("a gateway"));
            let shown = super::instance(&instance, Paint::Plain, usize::MAX);
            assert!(shown.contains(&format!("\ngateway: {said}\n\nSLOT")), "{shown}");
        };
        shows(json!({}), "not running");
        let refused = "bus-1:4222: authorization violation";
        shows(json!({ "pid": 7, "error": refused }), &format!("not connected to NATS\n  {refused}"));
        let joined = json!({ "pid": 7, "connected": true, "machines": 2, "dropped": 3, "bad_frames": 1 });
        shows(joined, "connected to NATS, 2 other machines, 3 messages dropped, 1 bad frames");
    }

    #[test]
    fn what_other_programs_say_stands_below() {
        let mut instance = example();
        (instance.slots[0].ready_by, instance.slots[0].says) = (Some("notification".into()), Some("warm".into()));
        let shown = super::instance(&instance, Paint::Plain, usize::MAX);
        assert!(shown.ends_with("SIGKILL\n\nnode-1: ready by notification, says \"warm\""), "{shown}");
        instance.slots[0].output_held = true;
        let shown = super::instance(&instance, Paint::Plain, usize::MAX);
        assert!(shown.ends_with("\"warm\", waits until what it writes is taken"), "{shown}");
    }

    #[test]
    fn what_many_nodes_have_in_common_is_said_once() {
        let mut instance = example();
        instance.addresses.clear();
        instance.slots.iter_mut().for_each(|slot| slot.ready_by = Some("assumed".into()));
        let shown = super::instance(&instance, Paint::Plain, usize::MAX);
        assert!(shown.contains(" serve\n\nSLOT ") && shown.ends_with("\n\nall nodes: ready by assumed"), "{shown}");
        instance.slots = (0..6).map(|_| instance.slots[0].clone()).collect();
        instance.slots[0].ready_by = None;
        let shown = super::instance(&instance, Paint::Plain, usize::MAX);
        assert!(shown.ends_with("\n\n5 nodes: ready by assumed"), "{shown}");
    }

    #[test]
    fn a_narrow_terminal_shows_what_is_needed_most() {
        let expected = "\
SLOT  NODE    STATE             FOR  RESTARTS  LAST EXIT
   0  node-1  serving   12 min 34 s         0  –
   1  node-9  starting       340 ms         2  SIGKILL";
        let shown = instance(&example(), Paint::Plain, 60);
        assert!(shown.ends_with(expected), "{shown}");
        assert!(instance(&example(), Paint::Plain, 100).contains("REQUESTS"));
    }

    #[test]
    fn colours_do_not_move_columns() {
        let coloured = instance(&example(), Paint::Colours, usize::MAX);
        assert!(coloured.contains("\x1b[32mserving\x1b[0m "), "{coloured:?}");
        let mut plain = coloured;
        for code in ["\x1b[32m", "\x1b[33m", "\x1b[2m", "\x1b[1m", "\x1b[0m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, instance(&example(), Paint::Plain, usize::MAX));
    }

    #[test]
    fn programs_are_listed_a_line_each() {
        let expected = "\
NAME   PID          UP  SERVING  REQUESTS  ADDRESSES
web   4711  3 h 12 min      1/2     10423  0.0.0.0:8080 unix:/run/web.sock";
        assert_eq!(list(&[example()], Paint::Plain), expected);
    }
}
