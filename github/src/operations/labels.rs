//! Labels: only what is different is written.

use reqwest::Method;
use serde_json::json;

use super::Outputs;
use crate::call::PAGE;
use crate::failed::{Failed, Kind};
use crate::session::Session;

fn has(labels: &[String], label: &str) -> bool {
    labels.iter().any(|known| known.eq_ignore_ascii_case(label))
}

impl Session<'_> {
    pub(super) async fn set_labels(&self) -> Outputs {
        let number = self.needed_number()?;
        let mut url = self.of_repo(&["issues", &number, "labels"])?;
        let plain = url.clone();
        url.query_pairs_mut().append_pair("per_page", &PAGE.to_string());
        let before = self.label_names(&url).await?;
        let (add, remove) = match self.names("replace") {
            Some(wanted) => {
                let remove = before.iter().filter(|label| !has(&wanted, label)).cloned().collect();
                (wanted, remove)
            }
            None => (self.names("add").unwrap_or_default(), self.names("remove").unwrap_or_default()),
        };
        if let Some(both) = add.iter().find(|label| has(&remove, label)) {
            return Err(Failed::invalid(format!("the label {both} is to be added and removed")));
        }
        let add: Vec<String> = add.into_iter().filter(|label| !has(&before, label)).collect();
        let remove: Vec<String> = remove.into_iter().filter(|label| has(&before, label)).collect();
        // What cannot be asked for is said before anything is written.
        let removals: Vec<_> = remove
            .iter()
            .map(|label| Ok((label, self.of_repo(&["issues", &number, "labels", label])?)))
            .collect::<Result<_, Failed>>()?;
        // First what is new: cut off between the two, an issue has a label too many rather than none.
        if !add.is_empty() {
            self.put(&Method::POST, &plain, Some(&json!({"labels": add}))).await?;
        }
        for (label, url) in &removals {
            match self.put(&Method::DELETE, url, None).await {
                // Somebody else was faster, or an earlier try was.
                Err(failed) if failed.kind == Kind::NotFound => {
                    self.say(format!("the label {label} was not there any more"));
                }
                other => {
                    other?;
                }
            }
        }
        let after = if add.is_empty() && remove.is_empty() { before } else { self.label_names(&url).await? };
        if let Some(missing) = add.iter().find(|label| !has(&after, label)) {
            return Err(Failed::unexpected(format!("GitHub took the label {missing}, and the issue does not have it")));
        }
        Ok(vec![("labels", after.into()), ("added", add.into()), ("removed", remove.into())])
    }

    async fn label_names(&self, url: &url::Url) -> Result<Vec<String>, Failed> {
        let pages = self.pages(url.clone(), None, 1_000, |_| true).await?;
        let names = pages.entries.iter().map(|label| crate::shape::text(label, "a label", "name").map(str::to_owned));
        names.collect()
    }
}
