//! Cron lines: five fields `min hour dom mon dow`; six with seconds first; seven with seconds first and the year last.
//!
//! Days of the week count from Sunday, 0 or 7, as in POSIX. When both day fields are restricted either may match.
//! Where a clock changes, a line with fixed times runs once a day all the same: a time that the spring change leaves
//! out runs right after the gap, a time that comes twice in autumn runs the first time. Lines that repeat within the
//! hour follow the time that passes.

use cron::Cron;
use cron::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::problems::closest;
use super::{Schedule, code};
use crate::time::UnixMillis;

/// Why a cron line or a time zone is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScheduleError {
    /// The diagnostic's code.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub help: String,
}

const FIELDS: &str = "write `minute hour day-of-month month day-of-week`, e.g. \"30 2 * * MON-FRI\"; six fields begin with seconds, seven end with the year";

/// A schedule that is ready to be asked.
#[derive(Debug, Clone)]
struct Compiled {
    lines: Vec<Cron>,
    zone: TimeZone,
}

impl Schedule {
    /// The first tick after an instant; `None` when there is none.
    pub fn next_after(&self, after: UnixMillis) -> Option<UnixMillis> {
        self.compile().ok()?.next_after(after)
    }

    /// The ticks after `after` up to and including `until`, oldest first, at most `max`.
    pub fn ticks_between(&self, after: UnixMillis, until: UnixMillis, max: usize) -> Vec<UnixMillis> {
        let Ok(compiled) = self.compile() else { return Vec::new() };
        compiled.ticks(after, max).take_while(|tick| *tick <= until).collect()
    }

    /// The next ticks after an instant.
    pub fn upcoming(&self, after: UnixMillis, count: usize) -> Vec<UnixMillis> {
        let Ok(compiled) = self.compile() else { return Vec::new() };
        compiled.ticks(after, count).collect()
    }

    /// The next ticks in the schedule's own time zone, for people: `2026-03-29 03:00:00 CEST`.
    pub fn upcoming_local(&self, after: UnixMillis, count: usize) -> Vec<String> {
        let Ok(compiled) = self.compile() else { return Vec::new() };
        compiled
            .ticks(after, count)
            .filter_map(|tick| Timestamp::from_millisecond(tick.0).ok())
            .map(|tick| tick.to_zoned(compiled.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string())
            .collect()
    }

    /// The schedule in words: `At 02:30, on Monday (Europe/Berlin)`.
    pub fn describe(&self) -> String {
        let Ok(compiled) = self.compile() else { return self.expressions.join("; ") };
        let lines: Vec<String> =
            compiled.lines.iter().map(|line| line.describe().trim_end_matches('.').to_owned()).collect();
        format!("{} ({})", lines.join("; "), self.timezone)
    }

    fn compile(&self) -> Result<Compiled, ScheduleError> {
        let zone = find_zone(&self.timezone)?;
        let lines = self.expressions.iter().map(|line| parse_line(line)).collect::<Result<_, _>>()?;
        Ok(Compiled { lines, zone })
    }
}

impl Compiled {
    fn next_after(&self, after: UnixMillis) -> Option<UnixMillis> {
        // Ticks are whole seconds, so the first one after the second in which `after` lies is the first after it.
        let start = Timestamp::from_second(after.0.div_euclid(1_000)).ok()?.to_zoned(self.zone.clone());
        self.lines.iter().filter_map(|line| next_of(line, &start)).min()
    }

    fn ticks(&self, after: UnixMillis, max: usize) -> impl Iterator<Item = UnixMillis> + '_ {
        std::iter::successors(self.next_after(after), |tick| self.next_after(*tick)).take(max)
    }
}

fn next_of(line: &Cron, start: &Zoned) -> Option<UnixMillis> {
    let next = line.find_next_occurrence(start, false).ok()?;
    Some(UnixMillis(next.timestamp().as_millisecond()))
}

/// Whether a line is valid and ever comes true.
pub(super) fn check_line(text: &str) -> Result<(), ScheduleError> {
    let line = parse_line(text)?;
    let epoch = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    if next_of(&line, &epoch).is_none() {
        return Err(ScheduleError {
            code: code::CRON_NEVER,
            message: format!("the cron line \"{}\" never comes true", text.trim()),
            help: "there is no such date; check the day, the month and the year".to_owned(),
        });
    }
    Ok(())
}

fn parse_line(text: &str) -> Result<Cron, ScheduleError> {
    let shown = super::scalar::shortened(text.trim());
    let fail = |message: String| ScheduleError { code: code::CRON, message, help: FIELDS.to_owned() };
    let line = match text.trim() {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        other => other,
    };
    if line.len() > 500 {
        return Err(fail("a cron line of more than 500 characters".to_owned()));
    }
    let fields: Vec<&str> = line.split_whitespace().collect();
    let names: &[&str] = match fields.len() {
        5 => &["minute", "hour", "day of month", "month", "day of week"],
        6 => &["second", "minute", "hour", "day of month", "month", "day of week"],
        7 => &["second", "minute", "hour", "day of month", "month", "day of week", "year"],
        count => {
            return Err(fail(format!("the cron line \"{shown}\" has {count} fields; it takes 5, 6 or 7")));
        }
    };
    for (field, name) in fields.iter().zip(names) {
        check_numbers(field, name).map_err(|reason| fail(format!("the cron line \"{shown}\": {reason}")))?;
    }
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Optional).build();
    let cron = parser.parse(line).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.split_once(": ").map_or(reason.as_str(), |(_, reason)| reason);
        fail(format!("the cron line \"{shown}\" is not valid: {}", reason.trim_end_matches('.')))
    })?;
    // Such a field lets no time through, and the search for one would go through all minutes of all years.
    let pattern = &cron.pattern;
    let clock = [("second", &pattern.seconds), ("minute", &pattern.minutes), ("hour", &pattern.hours)];
    for (name, field) in clock.into_iter().chain([("month", &pattern.months), ("year", &pattern.years)]) {
        if field.values().is_empty() {
            return Err(fail(format!("the cron line \"{shown}\": the {name} names no time")));
        }
    }
    Ok(cron)
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Numbers out of range, and names in the wrong field, get a message of our own, that says which field and which range.
fn check_numbers(field: &str, name: &str) -> Result<(), String> {
    let (low, high) = match name {
        "second" | "minute" => (0, 59),
        "hour" => (0, 23),
        "day of month" => (1, 31),
        "month" => (1, 12),
        "day of week" => (0, 7),
        _ => (1970, 4999),
    };
    for word in field.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()) {
        let upper = word.to_ascii_uppercase();
        let fits = match name {
            "day of month" => matches!(upper.as_str(), "L" | "W" | "LW"),
            "month" => MONTHS.contains(&upper.as_str()),
            "day of week" => upper == "L" || WEEKDAYS.contains(&upper.strip_suffix('L').unwrap_or(&upper)),
            _ => false,
        };
        if !fits {
            return Err(format!("the {name} cannot be \"{}\"", super::scalar::shortened(word)));
        }
    }
    for part in field.split(',') {
        if part.is_empty() {
            return Err(format!("the list of the {name} has an empty place"));
        }
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        if step.is_some_and(|step| step.parse::<u32>().is_ok_and(|step| step == 0)) {
            return Err(format!("the step of the {name} cannot be 0"));
        }
        for number in range.split(['-', '#', 'L', 'W', 'l', 'w']).take(2) {
            let Ok(value) = number.parse::<u32>() else { continue };
            let ordinal = range.contains('#') && range.ends_with(number);
            if !ordinal && !(low..=high).contains(&value) {
                return Err(format!("the {name} must be between {low} and {high}, and {value} is not"));
            }
        }
    }
    Ok(())
}

/// A zone of the IANA database that is built in.
pub(super) fn find_zone(name: &str) -> Result<TimeZone, ScheduleError> {
    let database = jiff::tz::TimeZoneDatabase::bundled();
    let found = if name == "UTC" { Ok(TimeZone::UTC) } else { database.get(name) };
    found.map_err(|_| {
        let names: Vec<String> = database.available().map(|name| name.to_string()).collect();
        let cities = names.iter().map(String::as_str);
        let by_city = names.iter().find(|zone| zone.rsplit('/').next().is_some_and(|c| c.eq_ignore_ascii_case(name)));
        let help = match by_city.map(String::as_str).or_else(|| closest(name, cities)) {
            Some(meant) => format!("did you mean {meant}?"),
            None => "use a name of the IANA database, such as UTC or Europe/Berlin".to_owned(),
        };
        ScheduleError {
            code: code::TIMEZONE,
            message: format!("there is no time zone \"{}\"", super::scalar::shortened(name)),
            help,
        }
    })
}
