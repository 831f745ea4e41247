//! A definition as a picture: nodes and labelled edges, and their text in Mermaid and in the language of Graphviz.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::plan::{Edge, EdgeKind, Plan};
use crate::definition::{JobDefinition, Method, Route, RouteMatch, RouteTarget, TaskDefinition, format_duration};
use crate::engine::written_match;

/// A definition as nodes and edges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagram {
    /// The tasks in declaration order, then the ends that routes lead to.
    pub nodes: Vec<DiagramNode>,
    /// Between nodes, by index.
    pub edges: Vec<DiagramEdge>,
}

/// A task or an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = GraphNodeResource)]
pub struct DiagramNode {
    /// The task's name, or a word such as `END_BLOCKED`.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// What else is worth saying, in a few words each.
    pub notes: Vec<String>,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = GraphNodeKind)]
pub enum NodeKind {
    /// A task.
    Task,
    /// A task that runs in any case.
    Always,
    /// The end of a job, by a word such as `END_BLOCKED` or `ERR_USAGE`.
    End,
}

/// An edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiagramEdge {
    /// Index of the node that it leaves.
    pub from: usize,
    /// Index of the node that it leads to.
    pub to: usize,
    /// What it is taken on, or how it is taken.
    pub label: String,
    /// What it is.
    pub kind: DiagramEdgeKind,
}

/// What a way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = GraphEdgeKind)]
pub enum DiagramEdgeKind {
    /// A dependency.
    Dependency,
    /// A dependency that any outcome satisfies, or that brings artifacts only.
    Weak,
    /// A route.
    Route,
    /// A route that begins the next round of a loop, or tries the same task again.
    Back,
}

impl Diagram {
    /// The picture of a definition and its plan.
    pub fn new(definition: &JobDefinition, plan: &Plan) -> Self {
        let mut diagram = Self { nodes: definition.tasks.iter().map(node).collect(), edges: Vec::new() };
        let mut ends: HashMap<String, usize> = HashMap::new();
        let pairs = |wanted: fn(&Edge) -> bool| -> HashSet<(usize, usize)> {
            let found = plan.edges.iter().filter(|edge| wanted(edge));
            found.map(|edge| (edge.from.0 as usize, edge.to.0 as usize)).collect()
        };
        let ordering = pairs(|edge| matches!(edge.kind, EdgeKind::Dependency { .. }));
        let back = pairs(|edge| edge.back_of.is_some());
        for (to, task) in definition.tasks.iter().enumerate() {
            for dependency in task.dependencies.iter().flatten() {
                let Some(from) = plan.task_index(&dependency.task) else { continue };
                let ordered = task.always_run || ordering.contains(&(from.0 as usize, to));
                let (kind, label) = match (ordered, dependency.optional) {
                    (false, _) => (DiagramEdgeKind::Weak, "earlier files"),
                    (true, true) => (DiagramEdgeKind::Weak, "optional"),
                    (true, false) => (DiagramEdgeKind::Dependency, ""),
                };
                diagram.edges.push(DiagramEdge { from: from.0 as usize, to, label: label.to_owned(), kind });
            }
        }
        for (from, task) in definition.tasks.iter().enumerate() {
            for route in &task.routes {
                diagram.route(plan, &back, &mut ends, (from, task), route);
            }
        }
        diagram
    }

    fn route(
        &mut self,
        plan: &Plan,
        back: &HashSet<(usize, usize)>,
        ends: &mut HashMap<String, usize>,
        (from, task): (usize, &TaskDefinition),
        route: &Route,
    ) {
        let mut label = matches_of(task, &route.matches);
        if let Some(max) = route.max {
            let _ = write!(label, " (at most {max}×)");
        }
        let word = match &route.target {
            RouteTarget::Tasks(targets) => {
                for target in targets.iter().filter_map(|name| plan.task_index(name)) {
                    let kind = if back.contains(&(from, target.0 as usize)) {
                        DiagramEdgeKind::Back
                    } else {
                        DiagramEdgeKind::Route
                    };
                    self.add_route(DiagramEdge { from, to: target.0 as usize, label: label.clone(), kind });
                }
                return;
            }
            // They only say which other route is followed: its label has them too.
            RouteTarget::Completed | RouteTarget::Failed => return,
            RouteTarget::RestartTask => {
                let label = format!("{label}: again");
                return self.add_route(DiagramEdge { from, to: from, label, kind: DiagramEdgeKind::Back });
            }
            RouteTarget::Reschedule { after, .. } => {
                let after = after.value().map_or_else(|| "a while".to_owned(), |after| format_duration(*after));
                let label = format!("{label}: again after {after}");
                return self.add_route(DiagramEdge { from, to: from, label, kind: DiagramEdgeKind::Back });
            }
            RouteTarget::Fatal => "FATAL",
            RouteTarget::RestartJob => "RESTART_JOB",
            RouteTarget::PauseJob => "PAUSE_JOB",
            RouteTarget::EndCompleted => "END_COMPLETED",
            RouteTarget::EndFailed => "END_FAILED",
            RouteTarget::EndBlocked => "END_BLOCKED",
            RouteTarget::Error(code) => code,
        };
        let to = *ends.entry(word.to_owned()).or_insert_with(|| {
            self.nodes.push(DiagramNode { name: word.to_owned(), notes: Vec::new(), kind: NodeKind::End });
            self.nodes.len() - 1
        });
        self.add_route(DiagramEdge { from, to, label, kind: DiagramEdgeKind::Route });
    }

    /// Several routes between the same tasks are one arrow.
    fn add_route(&mut self, edge: DiagramEdge) {
        let same = self.edges.iter_mut().rev().take_while(|other| other.from == edge.from);
        for other in same {
            if other.to == edge.to && other.kind == edge.kind {
                other.label = format!("{}, {}", other.label, edge.label);
                return;
            }
        }
        self.edges.push(edge);
    }

    /// In Mermaid's language.
    pub fn mermaid(&self) -> String {
        let mut text = String::from("flowchart TD\n");
        for (index, node) in self.nodes.iter().enumerate() {
            let label = mermaid_text(&node.lines().join("\n"));
            let _ = match node.kind {
                NodeKind::Task => writeln!(text, "    n{index}[\"{label}\"]"),
                NodeKind::Always => writeln!(text, "    n{index}[[\"{label}\"]]"),
                NodeKind::End => writeln!(text, "    n{index}([\"{label}\"])"),
            };
        }
        for edge in &self.edges {
            let arrow = match edge.kind {
                DiagramEdgeKind::Dependency | DiagramEdgeKind::Route => "-->",
                DiagramEdgeKind::Weak => "-.->",
                DiagramEdgeKind::Back => "==>",
            };
            let _ = match edge.label.as_str() {
                "" => writeln!(text, "    n{} {arrow} n{}", edge.from, edge.to),
                label => writeln!(text, "    n{} {arrow}|\"{}\"| n{}", edge.from, mermaid_text(label), edge.to),
            };
        }
        text
    }

    /// In the language of Graphviz.
    pub fn dot(&self) -> String {
        let mut text = String::from("digraph job {\n    node [shape=box, style=rounded];\n");
        for (index, node) in self.nodes.iter().enumerate() {
            let look = match node.kind {
                NodeKind::Task => "",
                NodeKind::Always => ", style=\"rounded,dashed\"",
                NodeKind::End => ", shape=oval, style=solid",
            };
            let _ = writeln!(text, "    n{index} [label=\"{}\"{look}];", dot_text(&node.lines().join("\n")));
        }
        for edge in &self.edges {
            let look = match edge.kind {
                DiagramEdgeKind::Dependency | DiagramEdgeKind::Route => "",
                DiagramEdgeKind::Weak => ", style=dashed",
                DiagramEdgeKind::Back => ", style=bold, constraint=false",
            };
            let _ = writeln!(text, "    n{} -> n{} [label=\"{}\"{look}];", edge.from, edge.to, dot_text(&edge.label));
        }
        text.push_str("}\n");
        text
    }
}

impl DiagramNode {
    /// The name and the notes.
    pub fn lines(&self) -> Vec<&str> {
        std::iter::once(self.name.as_str()).chain(self.notes.iter().map(String::as_str)).collect()
    }
}

fn node(task: &TaskDefinition) -> DiagramNode {
    let mut notes = Vec::new();
    let method = match &task.method {
        Method::Shell(_) => None,
        Method::Http(options) => Some(options.verb.as_str()),
        Method::Agent(_) => Some("agent"),
        Method::Github(options) => Some(options.operation.as_str()),
        Method::SubmitJobs(_) => Some("submits jobs"),
        Method::ForkJob(_) => Some("forks a job"),
        Method::AwaitForkedJob(_) => Some("awaits forked jobs"),
        Method::Approval(_) => Some("asks for approval"),
        Method::ExpireArtifacts(_) => Some("removes artifacts"),
    };
    notes.extend(method.map(str::to_owned));
    if task.fan_out.is_some() {
        notes.push("once per item".to_owned());
    }
    if task.when.is_some() {
        notes.push("on a condition".to_owned());
    }
    if let Some(max) = task.max_visits {
        notes.push(format!("at most {max} visits"));
    }
    if task.allow_failure {
        notes.push("may fail".to_owned());
    }
    if task.always_run {
        notes.push("in any case".to_owned());
    }
    let kind = if task.always_run { NodeKind::Always } else { NodeKind::Task };
    DiagramNode { name: task.name.clone(), notes, kind }
}

/// What a route matches, with the codes that other routes send here by COMPLETED or FAILED.
fn matches_of(task: &TaskDefinition, matches: &RouteMatch) -> String {
    let mut words = vec![written_match(matches)];
    let led_here = task.routes.iter().filter(|other| {
        matches!(
            (&other.target, matches),
            (RouteTarget::Completed, RouteMatch::Completed) | (RouteTarget::Failed, RouteMatch::Failed)
        )
    });
    words.extend(led_here.map(|other| written_match(&other.matches)));
    words.join(", ")
}

/// Letters, digits and blanks as they are; everything else by its number, which Mermaid never reads as syntax.
fn mermaid_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("<br/>"),
            ' ' | '-' | '_' | '.' | ',' | ':' | '×' => safe.push(c),
            c if c.is_alphanumeric() => safe.push(c),
            c if invisible(c) => safe.push('\u{fffd}'),
            c => {
                let _ = write!(safe, "#{};", u32::from(c));
            }
        }
    }
    safe
}

fn dot_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '"' | '\\' => {
                safe.push('\\');
                safe.push(c);
            }
            c if invisible(c) => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// Control characters, and those that change the direction of the text around them.
pub fn invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_labels_stay_text_in_every_language() {
        let evil = "a\"] --> b[\"<script>alert(1)</script>\n`x`#quot; \\\u{202e}\u{7}";
        let diagram = Diagram {
            nodes: vec![DiagramNode { name: evil.to_owned(), notes: vec![], kind: NodeKind::Task }],
            edges: vec![DiagramEdge { from: 0, to: 0, label: evil.to_owned(), kind: DiagramEdgeKind::Route }],
        };
        let label = "a#34;#93; --#62; b#91;#34;#60;script#62;alert#40;1#41;#60;#47;script#62;<br/>#96;x#96;#35;quot#59; #92;\u{fffd}\u{fffd}";
        assert_eq!(diagram.mermaid(), format!("flowchart TD\n    n0[\"{label}\"]\n    n0 -->|\"{label}\"| n0\n"));
        let label = "a\\\"] --> b[\\\"<script>alert(1)</script>\\n`x`#quot; \\\\\u{fffd}\u{fffd}";
        assert!(diagram.dot().contains(&format!("n0 [label=\"{label}\"];\n    n0 -> n0 [label=\"{label}\"];\n}}\n")));
    }
}
