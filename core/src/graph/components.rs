//! Strongly connected components (Tarjan 1972), without recursion.

use std::collections::HashMap;

const UNSEEN: usize = usize::MAX;

/// An arc between two nodes.
pub(super) type Pair = (u32, u32);

/// The strongly connected components of the graph over `nodes`, those first that nothing else leads out of. Arcs whose
/// ends are not among the nodes are not allowed.
pub(super) fn components(nodes: &[u32], arcs: &[Pair]) -> Vec<Vec<u32>> {
    let local: HashMap<u32, usize> = nodes.iter().enumerate().map(|(at, node)| (*node, at)).collect();
    let (starts, targets) = adjacency(nodes.len(), arcs.iter().map(|(from, to)| (local[from], local[to])));

    let mut order = vec![UNSEEN; nodes.len()];
    let mut low = vec![0; nodes.len()];
    let mut on_stack = vec![false; nodes.len()];
    let mut stack = Vec::new();
    let mut found = Vec::new();
    let mut counter = 0;
    let mut calls: Vec<(usize, usize)> = Vec::new();

    for root in 0..nodes.len() {
        if order[root] != UNSEEN {
            continue;
        }
        calls.push((root, starts[root]));
        while let Some((node, next)) = calls.pop() {
            if order[node] == UNSEEN {
                order[node] = counter;
                low[node] = counter;
                counter += 1;
                stack.push(node);
                on_stack[node] = true;
            }
            if next < starts[node + 1] {
                let target = targets[next];
                calls.push((node, next + 1));
                if order[target] == UNSEEN {
                    calls.push((target, starts[target]));
                } else if on_stack[target] {
                    low[node] = low[node].min(order[target]);
                }
                continue;
            }
            if low[node] == order[node] {
                let mut component = Vec::new();
                while let Some(member) = stack.pop() {
                    on_stack[member] = false;
                    component.push(nodes[member]);
                    if member == node {
                        break;
                    }
                }
                component.sort_unstable();
                found.push(component);
            }
            if let Some((caller, _)) = calls.last() {
                low[*caller] = low[*caller].min(low[node]);
            }
        }
    }
    found
}

/// Whether the arcs among the nodes make a cycle.
pub(super) fn has_cycle(nodes: &[u32], arcs: &[Pair]) -> bool {
    arcs.iter().any(|(from, to)| from == to) || components(nodes, arcs).iter().any(|component| component.len() > 1)
}

/// A shortest cycle through `node`, as a list that begins and ends with it; empty when there is none.
pub(super) fn cycle_through(node: u32, arcs: &[Pair]) -> Vec<u32> {
    let mut outgoing: HashMap<u32, Vec<u32>> = HashMap::new();
    for (from, to) in arcs {
        outgoing.entry(*from).or_default().push(*to);
    }
    let mut came_from: HashMap<u32, u32> = HashMap::new();
    let mut queue = std::collections::VecDeque::from([node]);
    while let Some(at) = queue.pop_front() {
        for to in outgoing.get(&at).into_iter().flatten() {
            if *to == node {
                let mut path = vec![node];
                let mut back = at;
                while back != node {
                    path.push(back);
                    back = came_from[&back];
                }
                path.push(node);
                path.reverse();
                return path;
            }
            if !came_from.contains_key(to) {
                came_from.insert(*to, at);
                queue.push_back(*to);
            }
        }
    }
    Vec::new()
}

/// All nodes that `node` reaches over the arcs.
pub(super) fn reached_from(node: u32, outgoing: &HashMap<u32, Vec<u32>>) -> std::collections::HashSet<u32> {
    let mut seen = std::collections::HashSet::new();
    let mut stack = vec![node];
    while let Some(at) = stack.pop() {
        for to in outgoing.get(&at).into_iter().flatten() {
            if seen.insert(*to) {
                stack.push(*to);
            }
        }
    }
    seen
}

/// Outgoing arcs in one array: those of node `n` are `targets[starts[n]..starts[n + 1]]`.
fn adjacency(nodes: usize, arcs: impl Iterator<Item = (usize, usize)> + Clone) -> (Vec<usize>, Vec<usize>) {
    let mut starts = vec![0; nodes + 1];
    for (from, _) in arcs.clone() {
        starts[from + 1] += 1;
    }
    for node in 0..nodes {
        starts[node + 1] += starts[node];
    }
    let mut targets = vec![0; starts[nodes]];
    let mut next = starts.clone();
    for (from, to) in arcs {
        targets[next[from]] = to;
        next[from] += 1;
    }
    (starts, targets)
}
