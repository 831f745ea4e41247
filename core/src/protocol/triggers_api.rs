//! What starts the jobs of a definition, as a resource of the API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::definition::Trigger;
use crate::engine::JobState;

/// A trigger of a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TriggerResource {
    /// A request from outside that proves where it comes from.
    Webhook {
        /// Names it in its path.
        name: String,
        /// Where requests go: a path on this server, to be sent to with POST.
        path: String,
        /// The name of the secret that requests prove to know.
        secret: String,
        /// Whether there is such a secret; without it every request is refused.
        secret_set: bool,
        /// Whether it does anything: with its definition, it rests.
        enabled: bool,
    },
    /// The end of a job of another definition.
    Job {
        /// The definitions whose jobs count.
        of: Vec<String>,
        /// The ends that count.
        states: Vec<JobState>,
        /// Whether it does anything: with its definition, it rests.
        enabled: bool,
    },
}

impl TriggerResource {
    /// Of a trigger of a definition.
    pub fn of(job_type: &str, trigger: &Trigger, enabled: bool, has_secret: impl FnOnce(&str) -> bool) -> Self {
        match trigger {
            Trigger::Webhook(webhook) => {
                let secret = webhook.auth.secret();
                Self::Webhook {
                    name: webhook.name.clone(),
                    path: format!("/api/v1/hooks/{job_type}/{}", webhook.name),
                    secret: secret.to_owned(),
                    secret_set: has_secret(secret),
                    enabled,
                }
            }
            Trigger::Job(job) => Self::Job { of: job.job_types.clone(), states: job.states.clone(), enabled },
        }
    }
}
