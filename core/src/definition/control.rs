//! `fan_out` of a task, `concurrency` of a job.

use super::keys::{CONCURRENCY, FAN_OUT};
use super::tree::{Kind, Node};
use super::walk::{Keys, Walk};
use super::{Concurrency, FanOut, MOST_ITEMS, OnConflict, VariableValue, code};

/// What the instances of every `fan_out` are told besides their item.
pub(super) const ITEM_NAMES: [&str; 2] = ["item_index", "item_key"];

impl Walk {
    pub(super) fn fan_out(&mut self, node: &Node<'_>, always_run: bool) -> Option<FanOut> {
        let entries = self.mapping("fan_out", node)?;
        let mut keys = Keys::new(entries);
        let items = keys.take("items");
        let item_var = keys.take("item_var").and_then(|entry| {
            let name = self.text("item_var", &entry.value)?;
            self.check_template_name("the variable of an item", &name, entry.value.span);
            if ITEM_NAMES.contains(&name.as_str()) {
                self.problems.error_with_help(
                    code::RESERVED_NAME,
                    entry.value.span,
                    format!("the variable of an item cannot be named {name}: every item has {name} already"),
                    "choose another name",
                );
            }
            Some(name)
        });
        let key = self.optional(&mut keys, "key", Self::template_spelling);
        let max_parallel = keys
            .take("max_parallel")
            .and_then(|entry| self.integer_field("max_parallel", &entry.value, 1..=MOST_ITEMS));
        let fail_fast = self.optional(&mut keys, "fail_fast", Self::boolean).unwrap_or(false);
        self.unknown_keys(&keys, &FAN_OUT);
        if always_run {
            self.problems.error_with_help(
                code::ALWAYS_RUN,
                node.span,
                "an `always_run` task cannot have a `fan_out`: it runs once, whatever happened",
                "go through the items inside its script",
            );
        }
        let Some(items) = items else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                node.span,
                "`fan_out` needs `items`",
                "a template that gives a JSON array, or a list: `items: \"{{ tasks.plan.outputs.issues }}\"`",
            );
            return None;
        };
        let items = self.items(&items.value, MOST_ITEMS as usize)?;
        let item_var = item_var.unwrap_or_else(|| "item".to_owned());
        Some(FanOut { items, item_var, key, max_parallel, fail_fast, span: node.span })
    }

    /// A list, or a template that will be one.
    pub(super) fn items(&mut self, node: &Node<'_>, most: usize) -> Option<VariableValue> {
        match &node.kind {
            Kind::Sequence(items) => {
                if items.len() > most {
                    self.problems.error(
                        code::RANGE,
                        items[most].span,
                        format!("`items` may have {most} items, and this has {}", items.len()),
                    );
                }
                Some(super::job::variable(node))
            }
            Kind::Mapping(_) => {
                let help = "a mapping has no order: list its keys, or give a list of mappings".to_owned();
                self.wrong_type("items", node, "a list or a template", Some(help));
                None
            }
            _ => {
                let template = self.text("items", node)?;
                if !template.contains('{') && !template.trim_start().starts_with('[') {
                    self.problems.error_with_help(
                        code::VALUE,
                        node.span,
                        format!("\"{}\" is one text and no list of items", super::scalar::shortened(&template)),
                        "write a list, or a template that gives a JSON array",
                    );
                    return None;
                }
                Some(super::job::variable(node))
            }
        }
    }

    pub(super) fn concurrency(&mut self, node: &Node<'_>) -> Option<Concurrency> {
        let entries = match &node.kind {
            Kind::Scalar(_) if !node.is_null() => {
                let help = "write {key: \"…\", on_conflict: queue}; how many jobs of one definition may run at once is \
                            `max_concurrency`";
                self.wrong_type("concurrency", node, "a mapping", Some(help.to_owned()));
                return None;
            }
            _ => self.mapping("concurrency", node)?,
        };
        let mut keys = Keys::new(entries);
        let key = keys.take("key");
        let choices =
            [("queue", OnConflict::Queue), ("skip", OnConflict::Skip), ("cancel_running", OnConflict::CancelRunning)];
        let on_conflict = keys.take("on_conflict").and_then(|entry| self.choice("on_conflict", &entry.value, &choices));
        self.unknown_keys(&keys, &CONCURRENCY);
        let Some(key) = key else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                node.span,
                "`concurrency` needs `key`",
                "a template, such as `key: \"deploy-{{ Environment }}\"`",
            );
            return None;
        };
        let key = self.template_spelling("key", &key.value)?;
        Some(Concurrency { key, on_conflict: on_conflict.unwrap_or_default() })
    }
}
