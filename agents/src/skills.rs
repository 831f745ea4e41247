//! Methods of work that are put before a prompt.

use std::path::{Path, PathBuf};

use crate::inside::{self, ReadError};

/// Those that come with the program.
const BUILT_IN: &[(&str, &str)] = &[
    ("plan", include_str!("../../workflows/skills/plan.md")),
    ("implement", include_str!("../../workflows/skills/implement.md")),
    ("investigate", include_str!("../../workflows/skills/investigate.md")),
    ("review", include_str!("../../workflows/skills/review.md")),
    ("ship", include_str!("../../workflows/skills/ship.md")),
    ("learn", include_str!("../../workflows/skills/learn.md")),
];

/// The longest one that is read.
const LONGEST: u64 = 256 << 10;

/// A skill that is nowhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SkillError {
    #[error("`{0}` is no name of a skill: write letters, digits, `-` and `_` only")]
    Name(String),
    #[error("there is no skill `{name}`: neither {looked} nor one that comes with atta ({})", names())]
    Unknown { name: String, looked: String },
    #[error("the skill in {path} cannot be used: {why}")]
    Unusable { path: String, why: ReadError },
}

fn names() -> String {
    BUILT_IN.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// The text of a skill: the repository's own before the user's before the one that comes with the program.
pub(crate) fn find(name: &str, repository: &Path, home: Option<&Path>) -> Result<String, SkillError> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
        return Err(SkillError::Name(name.to_owned()));
    }
    let mut places: Vec<PathBuf> = vec![repository.join(format!(".atta/skills/{name}.md"))];
    if let Some(home) = home {
        places.push(home.join(format!(".claude/skills/{name}/SKILL.md")));
        places.push(home.join(format!(".atta/skills/{name}.md")));
    }
    for place in &places {
        // The user's own may be links to anywhere; what a checkout brings may not.
        let below = [repository.to_owned()];
        let below = place.starts_with(repository).then_some(below.as_slice());
        match inside::text(place, below, LONGEST) {
            Ok(text) => return Ok(body(&text).to_owned()),
            Err(ReadError::Io(_)) => {}
            Err(why) => return Err(SkillError::Unusable { path: place.display().to_string(), why }),
        }
    }
    let built_in = BUILT_IN.iter().find(|(known, _)| *known == name);
    built_in.map(|(_, text)| body(text).to_owned()).ok_or_else(|| {
        let looked: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        SkillError::Unknown { name: name.to_owned(), looked: looked.join(" nor ") }
    })
}

/// A skill without its front matter.
fn body(text: &str) -> &str {
    let after = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n"));
    after.map_or(text, |(_, body)| body).trim()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_repository_s_skill_comes_before_the_user_s_and_both_before_ours() {
        let home = tempfile::tempdir().unwrap();
        let repository = tempfile::tempdir().unwrap();
        let find = |name: &str| find(name, repository.path(), Some(home.path()));
        assert!(find("plan").unwrap().contains("acceptance criteria"));
        for (base, path, text) in [
            (&home, ".atta/skills/plan.md", "mine"),
            (&home, ".claude/skills/plan/SKILL.md", "---\nname: plan\n---\nclaude's\n"),
            (&repository, ".atta/skills/plan.md", "ours"),
        ] {
            let path = base.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            assert_eq!(find("plan").unwrap(), body(text).trim());
        }
    }

    #[test]
    fn a_skill_that_is_nowhere_is_named_with_the_places() {
        let nowhere = Path::new("/nowhere");
        let error = find("dance", nowhere, None).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no skill `dance`: neither /nowhere/.atta/skills/dance.md nor one that comes with atta \
             (plan, implement, investigate, review, ship, learn)"
        );
        assert!(find("../x", nowhere, None).unwrap_err().to_string().starts_with("`../x` is no name of a skill"));
    }

    #[test]
    fn every_built_in_skill_is_short() {
        for (name, text) in BUILT_IN {
            assert!(text.len() < 4000 && text.starts_with("# "), "{name}");
        }
    }
}
