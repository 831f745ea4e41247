//! What the words of an error mean, and when a limit is over.

use atta_core::engine::AgentClass;
use atta_core::time::UnixMillis;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::event::Problem;

/// Words by class. The first class that has one of its words in the text is the one.
const WORDS: &[(AgentClass, &[&str])] = &[
    (
        AgentClass::Context,
        &[
            "prompt is too long",
            "context_length_exceeded",
            "context length",
            "context window",
            "context limit",
            "contextwindowexceeded",
            "maximum context",
            "input token count",
            "too many tokens in the prompt",
            "input is too long",
            "contextoverflow",
            "hit a token limit",
        ],
    ),
    (
        AgentClass::RateLimited,
        &[
            "rate limit",
            "rate_limit",
            "ratelimit",
            "too many requests",
            "usage limit",
            "session limit",
            "weekly limit",
            "hit your limit",
            "resource_exhausted",
            "resource has been exhausted",
            "quota",
            "credit balance",
            "insufficient_quota",
            "out of credits",
            "premium request",
        ],
    ),
    (
        AgentClass::Auth,
        &[
            "invalid api key",
            "invalid x-api-key",
            "incorrect api key",
            "api key not valid",
            "authentication",
            "unauthorized",
            "unauthenticated",
            "not logged in",
            "please run /login",
            "please log in",
            "permission_denied",
            "oauth token",
            "no auth type",
            "api key not found",
            "missing api key",
            "no api key",
            "login required",
            "not authenticated",
            "set an auth method",
            "forbidden",
        ],
    ),
    (
        AgentClass::Policy,
        &[
            "usage policy",
            "content policy",
            "content_policy",
            "content filter",
            "content_filter",
            "contentfilter",
            "contentpolicy",
            "prohibited_content",
            "cyber_policy",
            "safety system",
            "blocked by safety",
            "finish_reason_safety",
            "policy violation",
            "refused to",
            "stop_reason: refusal",
        ],
    ),
    (AgentClass::MaxTurns, &["max turns", "max_turns", "maximum number of turns", "max session turns", "turn limit"]),
    (AgentClass::Budget, &["max_budget", "budget exceeded", "maximum budget", "exceeded budget"]),
];

/// The class that the words of an error speak of.
pub(crate) fn class_of(text: &str) -> Option<AgentClass> {
    let text = text.to_lowercase();
    let by_words = WORDS.iter().find(|(_, words)| words.iter().any(|word| text.contains(word)));
    by_words.map(|(class, _)| *class).or_else(|| status_in(&text).and_then(class_of_status))
}

/// What programs call a conversation that can be gone on with.
const SESSIONS: &[&str] = &["session", "conversation", "thread id", "rollout", "chat"];

/// What they say of one that is not there.
const NOT_THERE: &[&str] =
    &["not found", "not exist", "not find", "n't find", "n't exist", "no such", "unknown session", "invalid session"];

/// Whether a line says that a session is not there: `No conversation found with session ID: …`, `Session not found`.
pub(crate) fn tells_of_no_session(line: &str) -> bool {
    // An address is no conversation.
    let line = line.to_lowercase().replace("chat/completions", "");
    let none_found = || line.split_once("no ").is_some_and(|(_, rest)| rest.contains(" found"));
    SESSIONS.iter().any(|session| line.contains(session))
        && (NOT_THERE.iter().any(|words| line.contains(words)) || none_found())
}

/// The class of an HTTP status of a model's provider.
pub(crate) fn class_of_status(status: u16) -> Option<AgentClass> {
    match status {
        401 | 403 => Some(AgentClass::Auth),
        402 | 429 => Some(AgentClass::RateLimited),
        413 => Some(AgentClass::Context),
        _ => None,
    }
}

/// A status that a text names as one: `API Error: 429`, `status 429`, `HTTP 429`, `status code 401`.
fn status_in(text: &str) -> Option<u16> {
    ["error: ", "error (", "error ", "status ", "status: ", "http ", "code ", "code: ", "\"code\":"].iter().find_map(
        |before| {
            text.match_indices(before).find_map(|(at, _)| {
                let digits: String = text[at + before.len()..].chars().take_while(char::is_ascii_digit).collect();
                (digits.len() == 3).then(|| digits.parse().ok()).flatten()
            })
        },
    )
}

/// What an error message says, as a problem; `Error` when its words say nothing.
pub(crate) fn problem(message: &str, now: UnixMillis) -> Problem {
    let class = class_of(message).unwrap_or(AgentClass::Error);
    let resets_at = (class == AgentClass::RateLimited).then(|| resets_at(message, now)).flatten();
    Problem { class, message: message.trim().to_owned(), resets_at }
}

/// A problem whose class is known already.
pub(crate) fn problem_of(class: AgentClass, message: &str, now: UnixMillis) -> Problem {
    Problem { class, ..problem(message, now) }.with_reset(message, now)
}

impl Problem {
    fn with_reset(mut self, message: &str, now: UnixMillis) -> Self {
        self.resets_at = (self.class == AgentClass::RateLimited).then(|| resets_at(message, now)).flatten();
        self
    }
}

/// When a limit is over, if the message says so.
pub(crate) fn resets_at(message: &str, now: UnixMillis) -> Option<UnixMillis> {
    let text = message.to_lowercase();
    epoch(&text)
        .or_else(|| instant(message))
        .or_else(|| {
            let starts = [
                "try again in ",
                "retry in ",
                "reset after ",
                "resets in ",
                "reset in ",
                "retry after ",
                "available in ",
            ];
            let from = starts.iter().find_map(|start| Some(text.find(start)? + start.len()))?;
            Some(now.plus(duration(&text[from..])?))
        })
        .or_else(|| {
            let from = ["retry-after: ", "retry-after:", "retry_after: ", "\"retrydelay\":\"", "retrydelay\": \""];
            let from = from.iter().find_map(|start| Some(text.find(start)? + start.len()))?;
            Some(now.plus(duration(&text[from..])?))
        })
        .or_else(|| clock_time(message, now))
}

/// `…|1749924000`: seconds since 1970 behind a bar.
fn epoch(text: &str) -> Option<UnixMillis> {
    let digits: String = text.rsplit_once('|')?.1.trim().chars().take_while(char::is_ascii_digit).collect();
    seconds(digits.parse().ok()?)
}

/// Seconds (or milliseconds) since 1970, where they are a date of this century.
pub(crate) fn seconds(number: i64) -> Option<UnixMillis> {
    match number {
        1_000_000_000..=9_999_999_999 => Some(UnixMillis(number * 1000)),
        1_000_000_000_000..=9_999_999_999_999 => Some(UnixMillis(number)),
        _ => None,
    }
}

/// The first RFC 3339 instant in a text.
fn instant(text: &str) -> Option<UnixMillis> {
    let words = text.split(|c: char| c.is_whitespace() || "\"'(),;".contains(c));
    words.filter(|word| word.len() >= 20 && word.contains('T')).find_map(|word| {
        let instant: Timestamp = word.trim_end_matches('.').parse().ok()?;
        Some(UnixMillis(instant.as_millisecond()))
    })
}

/// `12.5s`, `2h34m12s`, `3 days 4 hours 28 minutes`, `5 minutes`, `30`: how long, from the beginning of a text.
fn duration(text: &str) -> Option<std::time::Duration> {
    let mut rest = text.trim_start();
    let mut all = 0.0;
    let mut found = false;
    loop {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let Ok(number) = rest[..end].trim_end_matches('.').parse::<f64>() else { break };
        let after = rest[end..].trim_start();
        let unit: String = after.chars().take_while(char::is_ascii_alphabetic).collect();
        let factor = match unit.as_str() {
            "ms" => 0.001,
            "" | "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86_400.0,
            _ => break,
        };
        all += number * factor;
        found = true;
        rest = after[unit.len()..].trim_start_matches([',', ' ']).trim_start_matches("and ");
        if unit.is_empty() {
            break;
        }
    }
    // Nobody waits a year; such a number means something else.
    (found && all < 366.0 * 86_400.0).then(|| std::time::Duration::from_secs_f64(all))
}

/// `resets 3pm (Europe/Berlin)`, `resets at 10:53 PM`, `resets Oct 7, 3:30pm (UTC)`: the next such moment.
fn clock_time(message: &str, now: UnixMillis) -> Option<UnixMillis> {
    let text = message.to_lowercase();
    let starts = ["resets at ", "resets ", "reset at ", "try again at "];
    let from = starts.iter().find_map(|start| Some(text.find(start)? + start.len()))?;
    let rest = message.get(from..)?;
    let zone = rest.split_once('(').and_then(|(_, inner)| inner.split_once(')')).map_or("UTC", |(zone, _)| zone.trim());
    let zone = TimeZone::get(zone).ok()?;
    let now = Timestamp::from_millisecond(now.0).ok()?.to_zoned(zone.clone());
    let words: Vec<String> = rest
        .split(|c: char| c.is_whitespace() || c == ',' || c == '(')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .take(6)
        .collect();
    let mut date: Option<Date> = None;
    for (index, word) in words.iter().enumerate() {
        if let Some(month) = month(word) {
            let day: String = words.get(index + 1)?.chars().take_while(char::is_ascii_digit).collect();
            date = Date::new(now.year(), month, day.parse().ok()?).ok();
        }
        let Some(time) = time_of_day(word, words.get(index + 1).map(String::as_str)) else { continue };
        let at = date.unwrap_or(now.date()).to_datetime(time).to_zoned(zone.clone()).ok()?;
        let at = match date {
            // The beginning of January is said in December.
            Some(_) if at < now => at.checked_add(jiff::Span::new().years(1)).ok()?,
            None if at < now => at.checked_add(SignedDuration::from_hours(24)).ok()?,
            _ => at,
        };
        return Some(UnixMillis(at.timestamp().as_millisecond()));
    }
    None
}

fn month(word: &str) -> Option<i8> {
    let names = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let at = names.iter().position(|name| word.starts_with(name))?;
    i8::try_from(at + 1).ok()
}

/// `3pm`, `10:53pm`, `10:53` followed by `pm`.
fn time_of_day(word: &str, next: Option<&str>) -> Option<Time> {
    let (digits, half) = match word.find(|c: char| !c.is_ascii_digit() && c != ':') {
        Some(end) => (&word[..end], &word[end..]),
        None => (word, next?),
    };
    let half = half.trim_end_matches('.');
    let (hour, minute) = digits.split_once(':').unwrap_or((digits, "0"));
    let hour: i8 = hour.parse().ok().filter(|hour| (1..=12).contains(hour))?;
    let hour = match half {
        "am" => hour % 12,
        "pm" => hour % 12 + 12,
        _ => return None,
    };
    Time::new(hour, minute.parse().ok()?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-01T12:00:00Z.
    const NOW: UnixMillis = UnixMillis(1_772_366_400_000);

    #[test]
    fn a_session_that_is_gone_is_told_from_other_errors() {
        for line in [
            "No conversation found with session ID: 7f6b",
            "Error: thread/resume failed: no rollout found for thread id 7f6b",
            "Error resuming session: Invalid session identifier \"7f6b\".",
            "No previous sessions found for this project.",
            "Session not found: ses_7f6b",
            "could not find a chat named 7f6b",
        ] {
            assert!(tells_of_no_session(line), "{line}");
        }
        for line in [
            "API Error: 500 Internal server error",
            "stream disconnected before completion",
            "thread 'main' panicked: No such file or directory",
            "the session was interrupted",
            "the model was not found",
            "404 page not found: POST http://127.0.0.1/v1/chat/completions",
        ] {
            assert!(!tells_of_no_session(line), "{line}");
        }
    }

    #[test]
    fn what_providers_say_has_a_class() {
        use AgentClass::{Auth, Budget, Context, MaxTurns, Policy, RateLimited};
        for (text, class) in [
            ("API Error: 429 {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\"}}", Some(RateLimited)),
            ("You've hit your usage limit. Try again at 10:53 PM.", Some(RateLimited)),
            ("exceeded retry limit, last status: 429 Too Many Requests", Some(RateLimited)),
            ("Your credit balance is too low to access the API", Some(RateLimited)),
            ("[API Error: You exceeded your current quota]", Some(RateLimited)),
            ("Invalid API key · Please run /login", Some(Auth)),
            ("unexpected status 401 Unauthorized: Missing bearer", Some(Auth)),
            ("API Error: 401 nothing more", Some(Auth)),
            ("Prompt is too long", Some(Context)),
            ("Your input exceeds the context window of this model.", Some(Context)),
            (
                "Claude Code is unable to respond to this request, which appears to violate our Usage Policy",
                Some(Policy),
            ),
            ("Reached max turns (3)", Some(MaxTurns)),
            ("Reached maximum budget ($1)", Some(Budget)),
            ("API Error: 500 Internal server error", None),
            ("stream disconnected before completion", None),
            ("compiled 429 files", None),
        ] {
            assert_eq!(class_of(text), class, "{text}");
        }
    }

    #[test]
    fn the_end_of_a_limit_is_found_however_it_is_written() {
        let at = |text: &str| resets_at(text, NOW).map(UnixMillis::to_rfc3339);
        for (text, expected) in [
            ("Claude AI usage limit reached|1772370000", "2026-03-01T13:00:00.000Z"),
            ("limit; resets at 2026-03-02T01:02:03Z.", "2026-03-02T01:02:03.000Z"),
            ("Please retry in 12.5s.", "2026-03-01T12:00:12.500Z"),
            ("Your quota will reset after 2h34m12s.", "2026-03-01T14:34:12.000Z"),
            ("try again in 3 days 4 hours 28 minutes.", "2026-03-04T16:28:00.000Z"),
            ("retry-after: 30", "2026-03-01T12:00:30.000Z"),
            ("You've hit your limit · resets 3pm (UTC)", "2026-03-01T15:00:00.000Z"),
            ("You've hit your limit · resets 11:30am (UTC)", "2026-03-02T11:30:00.000Z"),
            ("resets 3pm (Europe/Berlin)", "2026-03-01T14:00:00.000Z"),
            ("or try again at 10:53 PM.", "2026-03-01T22:53:00.000Z"),
            ("weekly limit · resets Mar 7, 3:30pm (UTC)", "2026-03-07T15:30:00.000Z"),
            ("resets Jan 2, 12am (UTC)", "2027-01-02T00:00:00.000Z"),
        ] {
            assert_eq!(at(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "Too many requests",
            "resets soon",
            "try again in a while",
            "a|b",
            "retry in 99999999999s",
            "resets 3pm (Nowhere/Atall)",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }
}
