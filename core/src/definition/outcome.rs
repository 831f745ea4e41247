//! `outcome`: what a job is to achieve, and how to see whether it has.

use serde::{Deserialize, Serialize};

use super::keys::OUTCOME;
use super::tree::{Kind, Node};
use super::walk::{Keys, Walk};
use super::{Span, TemplateText};

/// What a job is to achieve. All texts are templates that are rendered again and again; what cannot be rendered yet, or
/// is empty, says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OutcomeSpec {
    /// In a word, such as `pull_request`.
    pub kind: Option<TemplateText>,
    /// Where it is achieved.
    pub repository: Option<TemplateText>,
    /// Where it can be looked at.
    pub url: Option<TemplateText>,
    /// How far it is: a word of [`OutcomeState`].
    pub state: Option<TemplateText>,
    /// Why it was not achieved.
    pub reason: Option<TemplateText>,
    /// Tasks whose visits are rounds of rework.
    pub rework: Vec<ReworkTask>,
}

impl OutcomeSpec {
    /// The templates with their names.
    pub fn templates(&self) -> impl Iterator<Item = (&'static str, &TemplateText)> {
        let named = [
            ("kind", &self.kind),
            ("repository", &self.repository),
            ("url", &self.url),
            ("state", &self.state),
            ("reason", &self.reason),
        ];
        named.into_iter().filter_map(|(name, template)| Some((name, template.as_ref()?)))
    }
}

/// A task whose visits are rounds of rework.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReworkTask {
    /// Its name.
    pub task: String,
    /// Where that stands.
    pub span: Span,
}

/// How far what a job is to achieve has come, as the definition's `outcome.state` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeState {
    /// It is there, and nobody has decided about it.
    Open,
    /// It was taken.
    Merged,
    /// It was turned down.
    Closed,
    /// Somebody has to go on with it.
    NeedsHuman,
}

impl OutcomeState {
    /// All words.
    pub const ALL: [Self; 4] = [Self::Open, Self::Merged, Self::Closed, Self::NeedsHuman];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Merged => "merged",
            Self::Closed => "closed",
            Self::NeedsHuman => "needs_human",
        }
    }

    /// The state that a word means; capitals and `-` do not matter.
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.trim().to_ascii_lowercase().replace('-', "_");
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl Walk {
    pub(super) fn outcome(&mut self, node: &Node<'_>) -> Option<OutcomeSpec> {
        let entries = self.mapping("outcome", node)?;
        let mut keys = Keys::new(entries.iter());
        let mut outcome = OutcomeSpec {
            kind: self.optional(&mut keys, "kind", Self::template_spelling),
            repository: self.optional(&mut keys, "repository", Self::template_spelling),
            url: self.optional(&mut keys, "url", Self::template_spelling),
            state: self.optional(&mut keys, "state", Self::template_spelling),
            reason: self.optional(&mut keys, "reason", Self::template_spelling),
            rework: Vec::new(),
        };
        if let Some(entry) = keys.take("rework") {
            let tasks: Vec<&Node<'_>> = match &entry.value.kind {
                Kind::Sequence(items) => items.iter().collect(),
                _ => vec![&entry.value],
            };
            for node in tasks {
                let Some(task) = self.text("outcome.rework", node) else { continue };
                outcome.rework.push(ReworkTask { task, span: node.span });
            }
        }
        self.unknown_keys(&keys, &OUTCOME);
        Some(outcome)
    }
}
