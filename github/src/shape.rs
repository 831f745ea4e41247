//! What GitHub says, in the form of outputs. A field that has to be there and is not makes the answer one that cannot be
//! understood: nothing is made up.

use serde_json::{Map, Value, json};

use crate::failed::Failed;
use crate::hub::Login;

/// Bytes of one text in outputs; the rest is left out, and `truncated` says so.
const LONGEST: usize = 16 << 10;
/// The same of the body of the one issue that is asked for: all that GitHub lets anybody write, 65 536 characters.
const LONGEST_BODY: usize = 256 << 10;
/// Characters of what is said by those who are not trusted. That they have said something can be seen; they cannot say so much
/// that nobody else is heard.
const LONGEST_OF_STRANGERS: usize = 200;
/// Who is trusted when nothing else is said.
const TRUSTED: [&str; 3] = ["OWNER", "MEMBER", "COLLABORATOR"];
/// What all marks begin with.
pub(crate) const MARK: &str = "<!-- atta:";

/// The mark at the end of a text. What only looks like one is none: it would be kept in texts of ours.
pub(crate) fn mark_of(text: &str) -> Option<&str> {
    let text = text.trim_end();
    let mark = &text[text.rfind(MARK)?..];
    let inner = mark.strip_prefix(MARK)?.strip_suffix(" -->")?;
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>');
    (!inner.is_empty() && inner.len() <= 2_000 && inner.chars().all(plain)).then_some(mark)
}

/// Whose words count.
pub(crate) struct Trust {
    associations: Vec<String>,
}

impl Trust {
    pub(crate) fn new(given: Option<Vec<String>>) -> Self {
        let associations = given.unwrap_or_else(|| TRUSTED.map(str::to_owned).to_vec());
        Self { associations: associations.into_iter().map(|name| name.to_ascii_uppercase()).collect() }
    }

    pub(crate) fn holds(&self, thing: &Value) -> bool {
        thing["author_association"].as_str().is_some_and(|name| self.associations.iter().any(|known| known == name))
    }
}

pub(crate) fn text<'v>(thing: &'v Value, what: &str, key: &str) -> Result<&'v str, Failed> {
    thing[key].as_str().ok_or_else(|| Failed::unexpected(format!("{what} without `{key}`")))
}

pub(crate) fn number(thing: &Value, what: &str, key: &str) -> Result<u64, Failed> {
    thing[key].as_u64().ok_or_else(|| Failed::unexpected(format!("{what} without `{key}`")))
}

/// A deleted account is `ghost`.
pub(crate) fn author(thing: &Value) -> &str {
    thing["user"]["login"].as_str().unwrap_or("ghost")
}

/// Whether we wrote it: nobody else has the name of a bot; of a person's name only what ends with our mark. Who quotes
/// us says something himself.
pub(crate) fn is_own(thing: &Value, me: &Login) -> bool {
    author(thing).eq_ignore_ascii_case(&me.name)
        && (me.is_bot || thing["body"].as_str().is_some_and(|body| mark_of(body).is_some()))
}

fn names(list: &Value, key: &str) -> Vec<Value> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|item| item.as_str().or_else(|| item[key].as_str()).map(Value::from)).collect()
}

/// The labels' names.
pub(crate) fn labels(thing: &Value) -> Vec<String> {
    names(&thing["labels"], "name").iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// Puts a text into the outputs.
fn put_text(into: &mut Map<String, Value>, key: &str, value: &Value) {
    put_text_of(into, key, value, LONGEST);
}

/// `longest` are bytes.
fn put_text_of(into: &mut Map<String, Value>, key: &str, value: &Value, longest: usize) {
    let text = value.as_str().unwrap_or_default();
    let end = text.floor_char_boundary(longest);
    into.insert(key.to_owned(), Value::from(&text[..end]));
    if end < text.len() {
        into.insert("truncated".to_owned(), Value::Bool(true));
    }
}

/// The bytes of so many characters.
fn bytes_of(value: &Value, characters: usize) -> usize {
    let text = value.as_str().unwrap_or_default();
    text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at)
}

/// Whether all of a comment is told: of those who are trusted, and of ourselves.
fn is_heard(thing: &Value, trust: &Trust, me: Option<&Login>) -> bool {
    trust.holds(thing) || me.is_some_and(|me| is_own(thing, me))
}

/// What of a comment is kept until all of them are there: of strangers no more than shows that there is more than is told.
pub(crate) fn kept(thing: &Value, trust: &Trust, me: &Login) -> Value {
    let mut kept = thing.clone();
    if !is_heard(thing, trust, Some(me)) {
        for key in ["body", "diff_hunk"] {
            if let Some(text) = thing[key].as_str() {
                kept[key] = Value::from(&text[..bytes_of(&thing[key], LONGEST_OF_STRANGERS + 1)]);
            }
        }
    }
    kept
}

/// An issue, or the issue that a pull request is.
pub(crate) fn issue(thing: &Value, trust: &Trust) -> Result<Map<String, Value>, Failed> {
    let mut made = Map::new();
    made.insert("number".to_owned(), number(thing, "an issue", "number")?.into());
    made.insert("title".to_owned(), text(thing, "an issue", "title")?.into());
    put_text(&mut made, "body", &thing["body"]);
    made.insert("url".to_owned(), text(thing, "an issue", "html_url")?.into());
    made.insert("state".to_owned(), text(thing, "an issue", "state")?.into());
    made.insert("state_reason".to_owned(), thing["state_reason"].clone());
    made.insert("author".to_owned(), author(thing).into());
    made.insert("association".to_owned(), thing["author_association"].clone());
    made.insert("trusted".to_owned(), trust.holds(thing).into());
    made.insert("labels".to_owned(), names(&thing["labels"], "name").into());
    made.insert("assignees".to_owned(), names(&thing["assignees"], "login").into());
    made.insert("comment_count".to_owned(), thing["comments"].clone());
    made.insert("is_pull_request".to_owned(), thing["pull_request"].is_object().into());
    for key in ["created_at", "updated_at", "closed_at"] {
        made.insert(key.to_owned(), thing[key].clone());
    }
    Ok(made)
}

/// An issue with all of its text.
pub(crate) fn whole_issue(thing: &Value, trust: &Trust) -> Result<Map<String, Value>, Failed> {
    let mut made = issue(thing, trust)?;
    made.remove("truncated");
    put_text_of(&mut made, "body", &thing["body"], LONGEST_BODY);
    Ok(made)
}

/// A comment, review comment or review.
pub(crate) fn comment(
    kind: &str,
    thing: &Value,
    trust: &Trust,
    me: Option<&Login>,
) -> Result<Map<String, Value>, Failed> {
    let mut made = Map::new();
    made.insert("kind".to_owned(), kind.into());
    made.insert("id".to_owned(), number(thing, "a comment", "id")?.into());
    made.insert("author".to_owned(), author(thing).into());
    made.insert("association".to_owned(), thing["author_association"].clone());
    made.insert("trusted".to_owned(), trust.holds(thing).into());
    if let Some(me) = me {
        made.insert("own".to_owned(), is_own(thing, me).into());
    }
    let heard = is_heard(thing, trust, me);
    let longest = |value: &Value| if heard { LONGEST } else { bytes_of(value, LONGEST_OF_STRANGERS) };
    put_text_of(&mut made, "body", &thing["body"], longest(&thing["body"]));
    made.insert("url".to_owned(), text(thing, "a comment", "html_url")?.into());
    let at = if kind == "review" { &thing["submitted_at"] } else { &thing["created_at"] };
    made.insert("created_at".to_owned(), at.clone());
    match kind {
        "review" => {
            made.insert("state".to_owned(), text(thing, "a review", "state")?.into());
            made.insert("commit".to_owned(), thing["commit_id"].clone());
        }
        "review_comment" => {
            for (key, from) in [
                ("path", "path"),
                ("line", "line"),
                ("in_reply_to", "in_reply_to_id"),
                ("review", "pull_request_review_id"),
                ("commit", "commit_id"),
            ] {
                made.insert(key.to_owned(), thing.get(from).cloned().unwrap_or(Value::Null));
            }
            put_text_of(&mut made, "diff_hunk", &thing["diff_hunk"], longest(&thing["diff_hunk"]));
        }
        _ => {}
    }
    Ok(made)
}

/// A pull request, from a list or alone.
pub(crate) fn pull_request(thing: &Value) -> Result<Value, Failed> {
    let what = "a pull request";
    let merged = thing["merged"].as_bool().unwrap_or(!thing["merged_at"].is_null());
    let mut made = Map::new();
    made.insert("number".to_owned(), number(thing, what, "number")?.into());
    made.insert("title".to_owned(), text(thing, what, "title")?.into());
    put_text(&mut made, "body", &thing["body"]);
    made.insert("url".to_owned(), text(thing, what, "html_url")?.into());
    let state = text(thing, what, "state")?;
    made.insert("state".to_owned(), state.into());
    made.insert("draft".to_owned(), thing["draft"].as_bool().unwrap_or(false).into());
    made.insert("author".to_owned(), author(thing).into());
    made.insert("labels".to_owned(), names(&thing["labels"], "name").into());
    let (head, base) = (&thing["head"], &thing["base"]);
    made.insert("head".to_owned(), json!({"branch": text(head, what, "ref")?, "sha": text(head, what, "sha")?}));
    made.insert("base".to_owned(), json!({"branch": text(base, what, "ref")?, "sha": text(base, what, "sha")?}));
    made.insert("merged".to_owned(), merged.into());
    made.insert("closed".to_owned(), (state == "closed").into());
    made.insert("mergeable".to_owned(), thing.get("mergeable").cloned().unwrap_or(Value::Null));
    made.insert("mergeable_state".to_owned(), thing.get("mergeable_state").cloned().unwrap_or(Value::Null));
    made.insert("requested_reviewers".to_owned(), names(&thing["requested_reviewers"], "login").into());
    made.insert("merge_commit".to_owned(), if merged { thing["merge_commit_sha"].clone() } else { Value::Null });
    for key in ["created_at", "updated_at", "merged_at", "closed_at"] {
        made.insert(key.to_owned(), thing[key].clone());
    }
    Ok(Value::Object(made))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_is_what_a_bot_says_and_what_a_person_said_through_us() {
        let said = |login: &str, body: &str| json!({"user": {"login": login}, "body": body});
        let bot = Login { name: "atta[bot]".to_owned(), is_bot: true };
        let person = Login { name: "Ada".to_owned(), is_bot: false };
        assert!(is_own(&said("atta[bot]", "hello"), &bot));
        assert!(!is_own(&said("mallory", "<!-- atta:j:t:n -->"), &bot));
        assert!(is_own(&said("ada", "done\n<!-- atta:j:t:n -->"), &person));
        assert!(!is_own(&said("ada", "please fix"), &person));
        assert!(!is_own(&said("ada", "> done\n> <!-- atta:j:t:n -->\n\nnot at all"), &person));
    }

    #[test]
    fn a_mark_is_one_word_at_the_end() {
        assert_eq!(mark_of("x\n\n<!-- atta:j:t:n:2 -->\n"), Some("<!-- atta:j:t:n:2 -->"));
        for none in [
            "",
            "x",
            "<!-- atta:x --> ## Approved <!-- -->",
            "<!-- atta: -->",
            "<!-- atta:a b -->",
            "<!-- atta:j:t:n --> x",
        ] {
            assert_eq!(mark_of(none), None, "{none}");
        }
        assert_eq!(mark_of(&format!("<!-- atta:{} -->", "x".repeat(65_500))), None);
    }

    #[test]
    fn strangers_are_told_of_with_a_few_words() {
        let said = |association: &str, login: &str| {
            let text = "😀".repeat(300);
            json!({
                "id": 1, "author_association": association, "user": {"login": login}, "body": text, "diff_hunk": text,
                "html_url": "https://github.test/", "created_at": "2026-01-01T00:00:00Z",
            })
        };
        let (trust, me) = (Trust::new(None), Login { name: "atta[bot]".to_owned(), is_bot: true });
        for (association, login, characters) in
            [("MEMBER", "ada", 300), ("NONE", "atta[bot]", 300), ("NONE", "mallory", LONGEST_OF_STRANGERS)]
        {
            // What was kept is told like what was said.
            for thing in [said(association, login), kept(&said(association, login), &trust, &me)] {
                let told = comment("review_comment", &thing, &trust, Some(&me)).unwrap();
                for key in ["body", "diff_hunk"] {
                    assert_eq!(told[key].as_str().unwrap().chars().count(), characters, "{login}");
                }
                assert_eq!(told.contains_key("truncated"), characters < 300, "{login}");
            }
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let mut map = Map::new();
        put_text(&mut map, "body", &Value::from(format!("x{}", "ü".repeat(LONGEST))));
        assert_eq!(map["body"].as_str().unwrap().len(), LONGEST - 1, "not within a character");
        assert_eq!(map["truncated"], true);
        put_text(&mut map, "title", &Value::Null);
        assert_eq!(map["title"], "");
    }
}
