//! From bytes to lines.

/// No line is kept longer, in bytes.
pub(super) const LONGEST: usize = 64 * 1024;

/// The mark at the end of a line that continues in the next.
pub(super) const GOES_ON: &str = "…";

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: Vec<u8>,
    /// Whether the program's line continues in the next.
    pub(super) goes_on: bool,
}

impl Line {
    /// The line as people see it: with a mark if it continues, and without bytes that are not UTF-8.
    pub(super) fn told(&self) -> String {
        let mark = if self.goes_on { GOES_ON } else { "" };
        format!("{}{mark}", String::from_utf8_lossy(&self.text))
    }
}

/// Puts lines together from whatever pieces come.
#[derive(Debug, Default)]
pub(super) struct Lines {
    unfinished: Vec<u8>,
}

impl Lines {
    /// Continues a line that has begun.
    pub(super) fn begun(unfinished: Vec<u8>) -> Lines {
        Lines { unfinished }
    }

    /// The beginning of an incomplete line.
    pub(super) fn unfinished(self) -> Vec<u8> {
        self.unfinished
    }

    /// The lines that these bytes complete.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        while !bytes.is_empty() {
            let room = LONGEST - self.unfinished.len();
            let end = bytes.iter().take(room + 1).position(|&byte| byte == b'\n');
            let (part, rest, goes_on) = match end {
                Some(end) => (&bytes[..end], &bytes[end + 1..], false),
                None if bytes.len() > room => (&bytes[..room], &bytes[room..], true),
                None => {
                    self.unfinished.extend_from_slice(bytes);
                    break;
                }
            };
            self.unfinished.extend_from_slice(part);
            lines.push(Line { text: std::mem::take(&mut self.unfinished), goes_on });
            bytes = rest;
        }
        lines
    }

    /// What was written last, without an end of line.
    pub(super) fn end(&mut self) -> Option<Line> {
        let text = std::mem::take(&mut self.unfinished);
        (!text.is_empty()).then_some(Line { text, goes_on: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line { text: text.into(), goes_on: false }
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let text = b"one\n\ntwo\nthree";
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            let mut taken: Vec<Line> = text.chunks(size).flat_map(|piece| lines.take(piece)).collect();
            taken.extend(lines.end());
            assert_eq!(taken, [line("one"), line(""), line("two"), line("three")], "in pieces of {size}");
        }
    }

    #[test]
    fn a_long_line_is_split_and_marked() {
        let mut lines = Lines::default();
        let text = [vec![b'x'; 2 * LONGEST], b"\n".to_vec(), vec![b'y'; LONGEST], b"\n".to_vec()].concat();
        let mut taken: Vec<(usize, bool)> = Vec::new();
        for piece in text.chunks(1000) {
            taken.extend(lines.take(piece).iter().map(|line| (line.text.len(), line.goes_on)));
        }
        assert_eq!(taken, [(LONGEST, true), (LONGEST, false), (LONGEST, false)]);
        assert_eq!(lines.end(), None);
    }

    #[test]
    fn what_goes_on_is_marked_where_it_is_told() {
        assert_eq!(Line { text: b"a\xffb".into(), goes_on: true }.told(), "a\u{fffd}b…");
        assert_eq!(line("a").told(), "a");
    }
}
