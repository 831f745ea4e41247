//! Cron lines in time zones, on the days on which clocks change.

use crate::definition::{Misfire, Schedule};
use crate::time::UnixMillis;

fn schedule(line: &str, timezone: &str) -> Schedule {
    Schedule { expressions: vec![line.to_owned()], timezone: timezone.to_owned(), misfire: Misfire::Skip }
}

fn instant(text: &str) -> UnixMillis {
    UnixMillis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

/// The ticks of a line from one local midnight to another, as local times.
fn ticks(line: &str, zone: &str, from: &str, days: i64) -> Vec<String> {
    let zoned = |date: &str| format!("{date}T00:00[{zone}]").parse::<jiff::Zoned>().unwrap();
    let start = zoned(from);
    let end = start.checked_add(jiff::Span::new().days(days)).unwrap();
    let millis = |at: &jiff::Zoned| UnixMillis(at.timestamp().as_millisecond());
    let schedule = schedule(line, zone);
    schedule
        .ticks_between(UnixMillis(millis(&start).0 - 1), UnixMillis(millis(&end).0 - 1), 1_000)
        .into_iter()
        .map(|tick| {
            let at = jiff::Timestamp::from_millisecond(tick.0).unwrap().in_tz(zone).unwrap();
            at.strftime("%d %H:%M:%S %:z").to_string()
        })
        .collect()
}

#[test]
fn a_daily_line_runs_once_on_the_days_on_which_clocks_change() {
    // The spring days: 02:30 does not exist in New York and Berlin; in Sydney the gap is in October.
    assert_eq!(
        ticks("30 2 * * *", "America/New_York", "2026-03-07", 3),
        ["07 02:30:00 -05:00", "08 03:00:00 -04:00", "09 02:30:00 -04:00"]
    );
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin", "2026-03-28", 3),
        ["28 02:30:00 +01:00", "29 03:00:00 +02:00", "30 02:30:00 +02:00"]
    );
    assert_eq!(
        ticks("30 2 * * *", "Australia/Sydney", "2026-10-03", 3),
        ["03 02:30:00 +10:00", "04 03:00:00 +11:00", "05 02:30:00 +11:00"]
    );
    // The autumn days: the time comes twice, and the first one counts.
    assert_eq!(
        ticks("30 1 * * *", "America/New_York", "2026-10-31", 3),
        ["31 01:30:00 -04:00", "01 01:30:00 -04:00", "02 01:30:00 -05:00"]
    );
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin", "2026-10-24", 3),
        ["24 02:30:00 +02:00", "25 02:30:00 +02:00", "26 02:30:00 +01:00"]
    );
    assert_eq!(
        ticks("30 2 * * *", "Australia/Sydney", "2026-04-04", 3),
        ["04 02:30:00 +11:00", "05 02:30:00 +11:00", "06 02:30:00 +10:00"]
    );
}

#[test]
fn a_line_that_repeats_follows_the_time_that_passes() {
    assert_eq!(ticks("0 * * * *", "Europe/Berlin", "2026-03-29", 1).len(), 23);
    assert_eq!(ticks("0 * * * *", "Europe/Berlin", "2026-10-25", 1).len(), 25);
    assert_eq!(ticks("*/15 * * * *", "America/New_York", "2026-11-01", 1).len(), 100);
    assert_eq!(ticks("*/15 * * * *", "UTC", "2026-11-01", 1).len(), 96);
}

#[test]
fn five_six_and_seven_fields_are_told_apart() {
    let next = |line: &str| schedule(line, "UTC").next_after(instant("2026-01-01T00:00:30Z")).unwrap().to_rfc3339();
    assert_eq!(next("5 4 * * *"), "2026-01-01T04:05:00.000Z");
    assert_eq!(next("40 * * * * *"), "2026-01-01T00:00:40.000Z");
    assert_eq!(next("0 * * * * * *"), "2026-01-01T00:01:00.000Z");
    assert_eq!(next("0 0 0 1 1 * 2030"), "2030-01-01T00:00:00.000Z");
    assert_eq!(next("@daily"), "2026-01-02T00:00:00.000Z");
}

#[test]
fn days_of_the_week_count_from_sunday_and_either_day_field_may_match() {
    // 1 January 2026 is a Thursday.
    let next = |line: &str| schedule(line, "UTC").next_after(instant("2026-01-01T00:00:00Z")).unwrap().to_rfc3339();
    assert_eq!(next("0 9 * * 1"), "2026-01-05T09:00:00.000Z");
    assert_eq!(next("0 9 * * MON"), "2026-01-05T09:00:00.000Z");
    assert_eq!(next("0 9 * * 0"), next("0 9 * * 7"));
    assert_eq!(next("0 0 13 * FRI"), "2026-01-02T00:00:00.000Z");
    assert_eq!(next("0 0 L * *"), "2026-01-31T00:00:00.000Z");
}

#[test]
fn the_next_tick_is_strictly_after_the_instant() {
    let every_minute = schedule("* * * * *", "UTC");
    let tick = instant("2026-01-01T00:01:00Z");
    assert_eq!(every_minute.next_after(UnixMillis(tick.0 - 1)), Some(tick));
    assert_eq!(every_minute.next_after(tick), Some(instant("2026-01-01T00:02:00Z")));
    assert_eq!(every_minute.next_after(UnixMillis(tick.0 + 500)), Some(instant("2026-01-01T00:02:00Z")));
    let over = schedule("0 0 0 1 1 * 2020", "UTC");
    assert_eq!(over.next_after(tick), None);
}

#[test]
fn several_lines_are_one_schedule_and_catching_up_is_bounded() {
    let both = Schedule {
        expressions: vec!["0 6 * * *".into(), "0 6,18 * * *".into()],
        timezone: "UTC".into(),
        misfire: Misfire::RunAll,
    };
    let (from, until) = (instant("2026-01-01T00:00:00Z"), instant("2026-01-02T18:00:00Z"));
    let found: Vec<_> = both.ticks_between(from, until, 10).into_iter().map(UnixMillis::to_rfc3339).collect();
    assert_eq!(
        found,
        [
            "2026-01-01T06:00:00.000Z",
            "2026-01-01T18:00:00.000Z",
            "2026-01-02T06:00:00.000Z",
            "2026-01-02T18:00:00.000Z"
        ]
    );
    assert_eq!(both.ticks_between(from, until, 3).len(), 3);
    assert_eq!(both.upcoming(from, 5).len(), 5);
}

#[test]
fn a_schedule_says_in_words_when_it_runs() {
    assert_eq!(schedule("30 2 * * 1", "Europe/Berlin").describe(), "At 02:30, on Monday (Europe/Berlin)");
    assert_eq!(schedule("0 * * * * * *", "UTC").describe(), "Every minute (UTC)");
    assert_eq!(
        schedule("30 2 * * *", "Europe/Berlin").upcoming_local(instant("2026-03-28T12:00:00Z"), 2),
        ["2026-03-29 03:00:00 CEST", "2026-03-30 02:30:00 CEST"]
    );
}
