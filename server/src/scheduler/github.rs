//! From the options of a GITHUB task to what an ant is told.

use std::fmt::Write as _;

use atta_core::definition::{GithubCredentialSpec, GithubOptions, check_github_setting};
use atta_core::protocol::github::{GithubCredential, GithubOrder};
use atta_core::template::{Renderer, Variables};
use serde_json::Map;

use super::live::LiveJob;
use crate::store::AttemptRow;

impl LiveJob {
    /// Renders an operation; an error is the sentence with which the attempt ends as INVALID.
    pub(super) fn github(
        &self,
        options: &GithubOptions,
        row: &AttemptRow,
        renderer: &Renderer,
        scope: &Variables,
    ) -> Result<GithubOrder, String> {
        let mut settings = Map::new();
        for (name, value) in &options.settings {
            let rendered = self.document(&format!("github.{name}"), value, renderer, scope, &mut 0)?;
            settings.insert(name.clone(), check_github_setting(name, rendered)?);
        }
        let text = |key: &str, template| self.text(key, template, renderer, scope).map(|text| text.trim().to_owned());
        let credential = match &options.credential {
            GithubCredentialSpec::Token(token) => {
                GithubCredential::Token(self.with_variables("github.token", token, renderer, scope)?)
            }
            GithubCredentialSpec::App { id, installation, private_key } => GithubCredential::App {
                id: text("github.app.id", id)?,
                installation: installation
                    .as_ref()
                    .map(|template| text("github.app.installation", template))
                    .transpose()?
                    .filter(|text| !text.is_empty()),
                private_key: self.with_variables("github.app.private_key", private_key, renderer, scope)?,
            },
        };
        let login = options.login.as_ref().map(|login| text("github.login", login)).transpose()?;
        Ok(GithubOrder {
            operation: options.operation,
            settings,
            credential,
            login: login.filter(|login| !login.is_empty()),
            api_url: text("github.api_url", &options.api_url)?,
            request_timeout: options.request_timeout,
            allow: options.allow.clone(),
            allow_private: options.allow_private,
            marker: self.marker(row),
        })
    }

    /// The same for all attempts of one visit of a task, and of one instance of a `fan_out`.
    fn marker(&self, row: &AttemptRow) -> String {
        let mut marker = format!("atta:{}:{}:{}", self.row.id, self.plan.task_name(row.task), self.run.nonce());
        if row.visit > 1 {
            let _ = write!(marker, ".{}", row.visit);
        }
        if let Some(instance) = row.instance {
            let _ = write!(marker, ".i{instance}");
        }
        // Two dashes would end the comment in which it hides.
        marker.replace("--", "-%2D")
    }
}
