//! Sentences about ends.

use std::time::Duration;

use atta_core::engine::Failure;
use nix::sys::signal::Signal;

/// A failure.
pub(super) fn failure(code: &str, message: impl Into<String>) -> Failure {
    Failure { code: code.to_owned(), message: message.into() }
}

/// A duration as definitions write it: `2h30m`, `90s` as `1m30s`, `250ms`.
pub(super) fn duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, millis) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if rest >= millis {
            text.push_str(&(rest / millis).to_string());
            text.push_str(unit);
            rest %= millis;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// `SIGSEGV (11)`.
pub(super) fn signal(number: i32) -> String {
    Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| format!("{signal} ({number})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_they_are_written() {
        for (millis, text) in
            [(0, "0s"), (250, "250ms"), (90_000, "1m30s"), (900_000, "15m"), (9_000_000, "2h30m"), (604_800_000, "7d")]
        {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn signals_have_names_and_numbers() {
        assert_eq!(signal(11), "SIGSEGV (11)");
        assert_eq!(signal(40), "signal 40");
    }
}
