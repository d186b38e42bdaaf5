//! What `probe` has found.

use multi_node_probe::How;

use super::{Counted, Report};
use crate::show::{Colour, Paint, Table, UNKNOWN, span};

/// A cell and its colour.
type Cell = (String, Option<Colour>);

/// The report as text, its verdict last.
pub(crate) fn probed(report: &Report, paint: Paint) -> String {
    let mut parts = vec![phases(report, paint), clients(report, paint)];
    parts.extend(losses(report));
    let mut last: Vec<String> = Vec::new();
    last.extend(report.left_out.iter().map(|left_out| {
        let kind = left_out.kind.name();
        format!("{kind} clients are left out, which this server does not answer anyway: {}", left_out.failure)
    }));
    last.extend(report.command.as_ref().map(|command| {
        let colour = if command.is_success() { Colour::Good } else { Colour::Bad };
        format!("{} {} after {}", command.line, paint.text(colour, &command.told()), span(command.took_ms))
    }));
    if report.interrupted {
        last.push(paint.text(Colour::Bad, "interrupted: this is what was measured until then"));
    }
    last.push(verdict(report, paint));
    parts.push(last.join("\n"));
    parts.join("\n\n")
}

fn phases(report: &Report, paint: Paint) -> String {
    let mut table = Table::new(&[
        ("PHASE", false),
        ("TIME", true),
        ("ANSWERED", true),
        ("LOST", true),
        ("KEPT CLOSED", true),
        ("P50", true),
        ("P99", true),
        ("WORST", true),
    ]);
    let mut row = |name: &str, took_ms: u64, counted: &Counted| {
        let mut cells = vec![(name.to_owned(), None), (span(took_ms), None), (counted.answered.to_string(), None)];
        cells.extend([bad_if_any(counted.lost), (kept_closed(counted).to_string(), None)]);
        let known = |time: f64| if counted.answered > 0 { ms(time) } else { UNKNOWN.to_owned() };
        cells.extend([known(counted.p50_ms), known(counted.p99_ms), ms(counted.worst_ms)].map(|cell| (cell, None)));
        table.row(cells);
    };
    report.phases.iter().for_each(|of| row(&of.phase, of.took_ms, &of.counted));
    if report.phases.len() > 1 {
        row("total", report.took_ms, &report.total);
    }
    table.text(paint)
}

/// With a column for each way in which anything was lost.
fn clients(report: &Report, paint: Paint) -> String {
    let lost_by = |counted: &Counted, how: How| counted.lost_by.get(&how).copied().unwrap_or_default();
    let ways: Vec<How> = How::ALL.into_iter().filter(|how| lost_by(&report.total, *how) > 0).collect();
    let mut columns = vec![("CLIENTS", false), ("CONNECTIONS", true), ("ANSWERED", true)];
    columns.extend(ways.iter().map(|how| (heading(*how), true)));
    columns.extend([("KEPT CLOSED", true), ("WORST", true)]);
    let mut table = Table::new(&columns);
    for of in &report.clients {
        let counted = &of.counted;
        let mut cells = vec![(of.kind.name().to_owned(), None), (of.connections.to_string(), None)];
        cells.push((counted.answered.to_string(), None));
        cells.extend(ways.iter().map(|how| bad_if_any(lost_by(counted, *how))));
        cells.extend([(kept_closed(counted).to_string(), None), (ms(counted.worst_ms), None)]);
        table.row(cells);
    }
    table.text(paint)
}

fn losses(report: &Report) -> Option<String> {
    let line = |loss: &crate::probe::Loss| {
        let (at, kind) = (loss.at_ms as f64 / 1e3, loss.kind.name());
        format!("{at:.2} s, {}, {kind}: {}", loss.phase, loss.failure)
    };
    let mut lines: Vec<String> = report.losses.iter().map(line).collect();
    let more = report.total.lost.saturating_sub(lines.len() as u64);
    lines.extend((more > 0).then(|| format!("and {more} more")));
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn verdict(Report { total, max_lost, outage_ms, .. }: &Report, paint: Paint) -> String {
    let colour = if total.lost > *max_lost { Colour::Bad } else { Colour::Good };
    let ways: Vec<String> = How::ALL
        .into_iter()
        .filter_map(|how| {
            total.lost_by.get(&how).filter(|count| **count > 0).map(|count| format!("{count} {}", how.name()))
        })
        .collect();
    let ways = if ways.is_empty() { String::new() } else { format!(" ({})", ways.join(", ")) };
    let all = total.answered + total.lost;
    let lost = paint.text(colour, &format!("{} of {all} requests lost{ways}", total.lost));
    let outage =
        if total.lost > 0 { format!("; no client was answered for {}", span(*outage_ms)) } else { String::new() };
    format!("{lost}; the longest wait for an answer was {}{outage}", ms(total.worst_ms))
}

fn heading(how: How) -> &'static str {
    match how {
        How::Refused => "REFUSED",
        How::Reset => "RESET",
        How::Closed => "CLOSED",
        How::Truncated => "TRUNCATED",
        How::TimedOut => "TIMED OUT",
        How::WrongStatus => "WRONG STATUS",
        How::Wrong => "WRONG",
    }
}

fn kept_closed(counted: &Counted) -> u64 {
    counted.closed_idle + counted.closed_announced
}

fn bad_if_any(count: u64) -> Cell {
    (count.to_string(), (count > 0).then_some(Colour::Bad))
}

fn ms(time: f64) -> String {
    if time < 10.0 { format!("{time:.1} ms") } else { format!("{time:.0} ms") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::report::tests::example as example_report;

    #[test]
    fn the_report_is_read_from_top_to_verdict() {
        let expected = "\
PHASE    TIME  ANSWERED  LOST  KEPT CLOSED     P50     P99    WORST
before  2.0 s       100     0            0  0.5 ms  1.5 ms   3.0 ms
during  1.5 s        75     2            4  0.6 ms   22 ms  1002 ms
total   3.5 s       175     2            4  0.5 ms   20 ms  1002 ms

CLIENTS  CONNECTIONS  ANSWERED  REFUSED  RESET  KEPT CLOSED    WORST
new                3        75        1      0            0  1002 ms
kept               7       100        0      1            4    22 ms

2.30 s, during, new: refused: connection refused
2.40 s, during, kept: reset: connection reset by peer, after 0 bytes of the answer

half-closing clients are left out, which this server does not answer anyway: closed: the connection ended after 0 bytes of the answer
pm2 reload web exited with code 1 after 1.5 s
2 of 177 requests lost (1 refused, 1 reset); the longest wait for an answer was 1002 ms; no client was answered for 120 ms";
        assert_eq!(probed(&example_report(), Paint::Plain), expected);
    }

    #[test]
    fn losses_have_a_colour_on_a_terminal() {
        let text = probed(&example_report(), Paint::Colours);
        assert!(text.contains("\x1b[31m2 of 177 requests lost"), "{text}");
    }
}
