//! What becomes of an agent's record: outputs of its task, figures, and a record without secrets.

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::agent::{AgentRecord, AgentRun};
use crate::redact::Redactor;

/// What is kept of every agent attempt beside its own artifacts. For people: no later task gets them.
pub const KEPT_OF_AGENTS: [&str; 2] = ["agent/record.json", "agent/transcript.jsonl"];

impl AgentRecord {
    /// A record of nothing: its runner never wrote one.
    pub fn empty() -> Self {
        Self {
            class: None,
            message: String::new(),
            runs: Vec::new(),
            session: None,
            usage: super::agent::AgentUsage::default(),
            verdict: None,
            final_message: String::new(),
            limit: None,
            denials: Vec::new(),
            files_changed: Vec::new(),
            commits: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The run whose end was the end of the attempt, or that goes on.
    pub fn last_run(&self) -> Option<&AgentRun> {
        self.runs.last()
    }

    /// The model that answered last; where no program says so, the one that was ordered.
    pub fn model(&self) -> Option<&str> {
        let run = self.last_run()?;
        run.model.as_deref().or(run.choice.model.as_deref())
    }

    /// The outputs that every AGENT task has. What is not known is null.
    pub fn outputs(&self) -> IndexMap<String, Value> {
        let limit = self.limit.as_ref().map(|limit| {
            let resets_at = limit.resets_at.map(crate::time::UnixMillis::to_rfc3339);
            json!({"message": limit.message, "resets_at": resets_at})
        });
        let commits: Vec<Value> =
            self.commits.iter().map(|commit| json!({"id": commit.id, "subject": commit.subject})).collect();
        [
            ("verdict", self.verdict.clone().unwrap_or(Value::Null)),
            ("message", json!(self.final_message)),
            ("session_id", json!(self.session.as_ref().map(|session| &session.id))),
            ("turns", json!(self.usage.turns)),
            ("cost_usd", json!(self.usage.cost.map(super::agent::MicroUsd::dollars))),
            ("files_changed", json!(self.files_changed)),
            ("commits", Value::Array(commits)),
            ("limit", limit.unwrap_or(Value::Null)),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    /// The record with secrets replaced wherever they stand. `None` when there is no telling them apart: a secret that is
    /// one of the record's own words.
    pub fn without_secrets(&self, redactor: &Redactor) -> Option<Self> {
        let mut value = serde_json::to_value(self).ok()?;
        if !redactor.clean_json(&mut value) {
            return Some(self.clone());
        }
        serde_json::from_value(value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::AgentClass;
    use crate::protocol::agent::*;
    use crate::secret::SecretValue;
    use crate::time::UnixMillis;

    #[test]
    fn what_is_not_known_is_null_and_never_0() {
        let outputs = AgentRecord::empty().outputs();
        assert_eq!(outputs.keys().collect::<Vec<_>>(), crate::definition::AGENT_OUTPUTS.iter().collect::<Vec<_>>());
        let null = |name: &str| outputs[name].is_null();
        assert!(["verdict", "session_id", "cost_usd", "limit"].into_iter().all(null), "{outputs:?}");
        let mut record = AgentRecord::empty();
        record.usage.cost = Some(MicroUsd(1_250_000));
        record.limit = Some(AccountLimit { resets_at: Some(UnixMillis(0)), message: "come back".to_owned() });
        record.commits = vec![AgentCommit { id: "c0".to_owned(), subject: "Fix".to_owned() }];
        let outputs = record.outputs();
        assert_eq!(outputs["cost_usd"], json!(1.25));
        assert_eq!(outputs["limit"], json!({"message": "come back", "resets_at": UnixMillis(0).to_rfc3339()}));
        assert_eq!(outputs["commits"], json!([{"id": "c0", "subject": "Fix"}]));
    }

    #[test]
    fn a_record_loses_its_secrets_wherever_they_stand() {
        let secret = |text: &str| {
            Redactor::new(&[SecretValue {
                name: "T".to_owned(),
                value: crate::secret::SecretText::new(text.to_owned()),
            }])
            .expect("a secret")
        };
        let mut record = AgentRecord::empty();
        record.class = Some(AgentClass::Done);
        record.final_message = "I used tops3cret-token.".to_owned();
        record.verdict = Some(json!({"log": ["tops3cret-token"]}));
        record.denials = vec![Denial { tool: "Bash".to_owned(), detail: "curl tops3cret-token".to_owned() }];
        let clean = record.without_secrets(&secret("tops3cret-token")).unwrap();
        assert_eq!(clean.class, Some(AgentClass::Done));
        assert!(!serde_json::to_string(&clean).unwrap().contains("tops3cret"));
        assert_eq!(record.without_secrets(&secret("somewhere-else")), Some(record.clone()));
    }
}
