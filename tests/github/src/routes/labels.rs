//! Labels of a repository.

use serde_json::Value;

use super::{Asked, Known, created, invalid, ok, page_of, refused};
use crate::shapes;
use crate::state::Label;

fn may_write(asked: &mut Asked<'_>) -> Result<(), Known> {
    if asked.repo()?.read_only {
        return Err(refused(403, "Resource not accessible by personal access token"));
    }
    Ok(())
}

pub(super) fn list(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let repo = asked.repo()?;
    let found: Vec<Value> = repo.labels.iter().map(|(name, label)| shapes::label(name, label)).collect();
    page_of(found)
}

pub(super) fn create(asked: &mut Asked<'_>) -> Result<Known, Known> {
    may_write(asked)?;
    let name = asked.text("name").ok_or_else(|| invalid("name is missing"))?;
    let label = Label { color: asked.text("color").unwrap_or_default(), description: asked.text("description") };
    let repo = asked.repo()?;
    if repo.labels.keys().any(|known| known.eq_ignore_ascii_case(&name)) {
        return Err(invalid("already_exists"));
    }
    repo.labels.insert(name.clone(), label.clone());
    created(shapes::label(&name, &label))
}

pub(super) fn update(asked: &mut Asked<'_>) -> Result<Known, Known> {
    may_write(asked)?;
    let (name, new_name) = (asked.param("name").to_owned(), asked.text("new_name"));
    let (color, description) = (asked.text("color"), asked.text("description"));
    let repo = asked.repo()?;
    let known = repo.labels.keys().find(|known| known.eq_ignore_ascii_case(&name)).cloned();
    let known = known.ok_or_else(|| refused(404, "Not Found"))?;
    let mut label = repo.labels.remove(&known).unwrap_or_default();
    label.color = color.unwrap_or(label.color);
    label.description = description.or(label.description);
    let name = new_name.unwrap_or(known);
    repo.labels.insert(name.clone(), label.clone());
    ok(shapes::label(&name, &label))
}
