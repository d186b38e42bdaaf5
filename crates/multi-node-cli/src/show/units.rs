//! Numbers as people read them.

/// A time: `3 d 4 h`, `12 min 5 s`, `1.2 s`, `340 ms`.
pub(crate) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0 => format!("{ms} ms"),
        1..10 => format!("{}.{} s", seconds, ms / 100 % 10),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86_400 => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Memory: `8.1 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut scaled = bytes as f64 / 1024.0;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

/// What stands for what is not known.
pub(crate) const UNKNOWN: &str = "–";

/// What may not be known.
pub(crate) fn count<T: ToString>(count: Option<T>) -> String {
    count.map_or_else(|| UNKNOWN.to_owned(), |count| count.to_string())
}

/// The sum of what is known; `None` where nothing is.
pub(crate) fn sum(counts: impl IntoIterator<Item = Option<u64>>) -> Option<u64> {
    counts.into_iter().flatten().reduce(u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_units_at_most() {
        let spans = [0, 340, 1_250, 59_999, 60_000, 725_000, 3_600_000, 90_000_000].map(span);
        assert_eq!(spans, ["0 ms", "340 ms", "1.2 s", "59 s", "1 min 0 s", "12 min 5 s", "1 h 0 min", "1 d 1 h"]);
    }

    #[test]
    fn memory_has_one_decimal() {
        let all = [512, 1 << 20, 8_493_466, 5 << 30, 7 << 50].map(bytes);
        assert_eq!(all, ["0.5 KiB", "1.0 MiB", "8.1 MiB", "5.0 GiB", "7168.0 TiB"]);
    }
}
