//! What an ant is told is kept, so that people can see the exact command of an attempt: compressed, and without secrets.

use atta_core::engine::AttemptNumber;
use atta_core::protocol::JobId;
use atta_core::protocol::ant::Assignment;
use atta_core::protocol::command::CommandResource;
use atta_core::time::UnixMillis;
use serde_json::Value;

use crate::secrets::HeldSecrets;
use crate::store::CommandRow;

/// A command beyond this is cut, in bytes of JSON.
const LARGE: usize = 512 << 10;

/// Texts of a large command keep so many bytes, and if that is not enough, so many.
const TEXTS: [usize; 2] = [64 << 10, 1 << 10];

/// The fastest that is worth it: the writer waits for it.
const LEVEL: i32 = 1;

/// Makes rows of commands; keeps what it needs for that, which is more work than a command.
#[derive(Default)]
pub(super) struct Packer(Option<zstd::bulk::Compressor<'static>>);

impl Packer {
    /// The row of an assignment, whose secrets are held. `None`: it cannot be kept.
    pub(super) fn row(
        &mut self,
        (job, attempt): (&JobId, AttemptNumber),
        assignment: &Assignment,
        held: &HeldSecrets,
        now: UnixMillis,
    ) -> Option<CommandRow> {
        let command = CommandResource::of(assignment, now);
        let secrets = if assignment.secrets.values.is_empty() { None } else { held.of(&assignment.attempt_id) };
        let text = if let Some(secrets) = secrets {
            let mut value = serde_json::to_value(&command).ok()?;
            // A param, say, may be a secret too. Before anything is cut: a part of a secret is not found.
            secrets.clean_json(&mut value);
            bounded(value)?
        } else {
            let text = serde_json::to_vec(&command).ok()?;
            if text.len() <= LARGE { text } else { bounded(serde_json::to_value(&command).ok()?)? }
        };
        let command = self.pack(&text)?;
        Some(CommandRow { job: job.clone(), attempt, command })
    }

    fn pack(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        if self.0.is_none() {
            self.0 = zstd::bulk::Compressor::new(LEVEL).ok();
        }
        self.0.as_mut()?.compress(text).ok()
    }
}

/// The text of a command, cut if it is large. `None`: it is too large all the same, or is no command any more.
fn bounded(mut value: Value) -> Option<Vec<u8>> {
    let mut text = serde_json::to_vec(&value).ok()?;
    for longest in TEXTS {
        if text.len() <= LARGE {
            break;
        }
        cut(&mut value, longest);
        value["cut"] = Value::from(true);
        text = serde_json::to_vec(&value).ok()?;
    }
    if text.len() > 4 * LARGE {
        // Nothing in it is long: there are too many parts.
        return None;
    }
    // A word of ours where the secret was found has become another one.
    serde_json::from_slice::<CommandResource>(&text).ok()?;
    Some(text)
}

/// Takes the middle out of long texts.
fn cut(value: &mut Value, longest: usize) {
    match value {
        Value::String(text) if text.len() > longest => {
            let (mut begin, mut end) = (longest / 2, text.len() - longest / 2);
            while !text.is_char_boundary(begin) {
                begin -= 1;
            }
            while !text.is_char_boundary(end) {
                end += 1;
            }
            *text = format!("{}\n[… {} bytes …]\n{}", &text[..begin], end - begin, &text[end..]);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| cut(item, longest)),
        Value::Object(fields) => fields.values_mut().for_each(|item| cut(item, longest)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_lose_their_middle_between_characters() {
        let mut value = serde_json::json!({"a": ["ü".repeat(100)], "b": "short"});
        cut(&mut value, 11);
        assert_eq!(value, serde_json::json!({"a": ["üü\n[… 192 bytes …]\nüü"], "b": "short"}));
    }
}
