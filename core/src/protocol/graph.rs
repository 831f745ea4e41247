//! A definition as a picture, as a resource of the API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::definition::JobDefinition;
use crate::graph::{Diagram, DiagramEdgeKind, NodeKind, Plan};

/// A definition as tasks, the ends that routes lead to, and the ways between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GraphResource {
    /// The tasks in the order of the definition, then the ends.
    pub nodes: Vec<GraphNodeResource>,
    /// Ways, in the order of the definition.
    pub edges: Vec<GraphEdgeResource>,
}

/// A task or an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GraphNodeResource {
    /// The task's name, or a word such as `END_BLOCKED`.
    pub name: String,
    /// What it is.
    pub kind: GraphNodeKind,
    /// What else is worth saying, in a few words each.
    pub notes: Vec<String>,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GraphNodeKind {
    /// A task.
    Task,
    /// A task that runs in any case.
    Always,
    /// The end of a job, by a word such as `END_BLOCKED` or `ERR_USAGE`.
    End,
}

/// A way from one node to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GraphEdgeResource {
    /// Name of the node that it leaves.
    pub from: String,
    /// Name of the node that it leads to.
    pub to: String,
    /// What it is.
    pub kind: GraphEdgeKind,
    /// What it is taken on; empty for most dependencies.
    pub label: String,
}

/// What a way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GraphEdgeKind {
    /// A dependency.
    Dependency,
    /// A dependency that any outcome satisfies, or that brings artifacts only.
    Weak,
    /// A route.
    Route,
    /// A route that begins the next round of a loop, or tries the same task again.
    Back,
}

impl GraphResource {
    /// Of a definition; none when its tasks cannot be put in an order.
    pub fn of(definition: &JobDefinition) -> Option<Self> {
        let (plan, _) = Plan::build(definition).ok()?;
        let Diagram { nodes, edges } = Diagram::new(definition, &plan);
        let edges = edges
            .into_iter()
            .map(|edge| GraphEdgeResource {
                from: nodes[edge.from].name.clone(),
                to: nodes[edge.to].name.clone(),
                kind: match edge.kind {
                    DiagramEdgeKind::Dependency => GraphEdgeKind::Dependency,
                    DiagramEdgeKind::Weak => GraphEdgeKind::Weak,
                    DiagramEdgeKind::Route => GraphEdgeKind::Route,
                    DiagramEdgeKind::Back => GraphEdgeKind::Back,
                },
                label: edge.label,
            })
            .collect();
        let nodes = nodes
            .into_iter()
            .map(|node| GraphNodeResource {
                name: node.name,
                kind: match node.kind {
                    NodeKind::Task => GraphNodeKind::Task,
                    NodeKind::Always => GraphNodeKind::Always,
                    NodeKind::End => GraphNodeKind::End,
                },
                notes: node.notes,
            })
            .collect();
        Some(Self { nodes, edges })
    }
}
