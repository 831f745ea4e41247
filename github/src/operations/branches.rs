//! Branches.

use reqwest::Method;
use serde_json::{Value, json};

use super::Outputs;
use crate::failed::{Failed, Kind};
use crate::session::Session;
use crate::shape;

impl Session<'_> {
    /// The address of a branch's ref: `names` is `ref` to read it, `refs` to write it.
    fn branch_url(&self, names: &str, branch: &str) -> Result<url::Url, Failed> {
        let mut path = vec!["git", names, "heads"];
        path.extend(branch.split('/'));
        self.of_repo(&path)
    }

    async fn sha_of(&self, branch: &str) -> Result<Option<String>, Failed> {
        let Some(found) = self.get_if_there(&self.branch_url("ref", branch)?).await? else { return Ok(None) };
        Ok(Some(shape::text(&found.body["object"], "a branch", "sha")?.to_owned()))
    }

    /// That it answers says that the repository can be seen.
    pub(super) async fn default_branch(&self) -> Result<String, Failed> {
        let repository = self.get(&self.of_repo(&[])?).await?;
        shape::text(&repository.body, "a repository", "default_branch").map(str::to_owned)
    }

    pub(super) async fn create_branch(&self) -> Outputs {
        let branch = self.needed("branch")?;
        let default = self.default_branch().await?;
        let mut pauses = self.pauses();
        let mut created = false;
        let sha = loop {
            if let Some(sha) = self.sha_of(branch).await? {
                break sha;
            }
            let from = self.text("from").unwrap_or(&default);
            let is_commit = from.len() == 40 && from.bytes().all(|byte| byte.is_ascii_hexdigit());
            let sha = if is_commit {
                from.to_owned()
            } else {
                let found = self.sha_of(from).await?;
                found.ok_or_else(|| Failed::new(Kind::NotFound, format!("there is no branch {from} to begin from")))?
            };
            let url = self.of_repo(&["git", "refs"])?;
            match self.make(&url, &json!({"ref": format!("refs/heads/{branch}"), "sha": sha})).await {
                Ok(_) => {
                    created = true;
                    break sha;
                }
                // Somebody else was faster, or an earlier try was.
                Err(failed) if failed.kind == Kind::Validation => match self.sha_of(branch).await? {
                    Some(sha) => break sha,
                    None => return Err(failed),
                },
                Err(failed) => self.pause(failed, &mut pauses).await?,
            }
        };
        Ok(vec![("branch", json!({"name": branch, "sha": sha})), ("created", created.into())])
    }

    pub(super) async fn delete_branch(&self) -> Outputs {
        let branch = self.needed("branch")?;
        if self.default_branch().await? == branch {
            return Err(Failed::invalid(format!("{branch} is the default branch of {}", self.repository())));
        }
        let needed = if self.flag("force") {
            None
        } else {
            match self.pull_of(branch, None, "open").await? {
                // GitHub closes those that were to be merged into it.
                None => self.pull_into(branch).await?,
                found => found,
            }
        };
        if let Some(pull) = needed {
            let number = shape::number(&pull, "a pull request", "number")?;
            self.say(format!("{branch} stays: pull request #{number} is open"));
            return Ok(vec![("deleted", false.into()), ("pull_request", shape::pull_request(&pull)?)]);
        }
        let there = self.sha_of(branch).await?.is_some();
        if there {
            match self.put(&Method::DELETE, &self.branch_url("refs", branch)?, None).await {
                // It says so of one that is gone by now.
                Err(failed) if failed.kind == Kind::Validation && self.sha_of(branch).await?.is_none() => {}
                other => {
                    other?;
                }
            }
        }
        Ok(vec![("deleted", there.into()), ("pull_request", Value::Null)])
    }
}
