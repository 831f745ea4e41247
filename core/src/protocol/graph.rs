//! A definition as a picture, as a resource of the API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::definition::JobDefinition;
use crate::graph::{Diagram, DiagramEdgeKind, DiagramNode, Plan};

/// A definition as tasks, the ends that routes lead to, and the ways between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GraphResource {
    /// The tasks in the order of the definition, then the ends.
    pub nodes: Vec<DiagramNode>,
    /// Ways, in the order of the definition.
    pub edges: Vec<GraphEdgeResource>,
}

/// A way from one node to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GraphEdgeResource {
    /// Name of the node that it leaves.
    pub from: String,
    /// Name of the node that it leads to.
    pub to: String,
    /// What it is.
    pub kind: DiagramEdgeKind,
    /// What it is taken on; empty for most dependencies.
    pub label: String,
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
                kind: edge.kind,
                label: edge.label,
            })
            .collect();
        Some(Self { nodes, edges })
    }
}
