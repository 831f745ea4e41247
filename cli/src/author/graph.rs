//! `atta graph`: a definition as a picture.

use atta_core::graph::{Diagram, DiagramEdgeKind, NodeKind, Plan, invisible};
use layout::backends::svg::SVGWriter;
use layout::core::base::Orientation;
use layout::core::color::Color;
use layout::core::geometry::Point;
use layout::core::style::{LineStyleKind, StyleAttr};
use layout::std_shapes::shapes::{Arrow, Element, LineEndKind, ShapeKind};
use layout::topo::layout::VisualGraph;

use super::{GraphArgs, GraphFormat};
use crate::exit::{CommandResult, Exit, Failure};
use crate::{output, validate};

/// Beyond so many nodes a drawing takes long and shows nothing.
const MOST_DRAWN: usize = 400;

/// Prints the picture.
pub(crate) fn graph(args: &GraphArgs) -> CommandResult {
    let definition = validate::load_for_reading(&args.file)?;
    let (plan, _) =
        Plan::build(&definition).map_err(|_| Failure::failed(format!("{} has no graph.", args.file.display())))?;
    let diagram = Diagram::new(&definition, &plan);
    let text = match args.format {
        GraphFormat::Mermaid => diagram.mermaid(),
        GraphFormat::Dot => diagram.dot(),
        GraphFormat::Svg => svg(&diagram)?,
    };
    output::print(&text)?;
    Ok(Exit::Success)
}

fn svg(diagram: &Diagram) -> CommandResult<String> {
    if diagram.nodes.len() > MOST_DRAWN {
        let nodes = diagram.nodes.len();
        return Err(Failure::usage(format!(
            "A drawing of {nodes} nodes would show nothing; {MOST_DRAWN} are drawn at most."
        ))
        .with_help("take `--format dot` and a program that can show a part of it"));
    }
    let mut graph = VisualGraph::new(Orientation::TopToBottom);
    let handles: Vec<_> = diagram
        .nodes
        .iter()
        .map(|node| {
            let label = visible(&node.lines().join("\n"));
            let width = node.lines().iter().map(|line| line.chars().count()).max().unwrap_or_default();
            #[expect(clippy::cast_precision_loss, reason = "lengths of lines that somebody reads")]
            let size = Point::new(width as f64 * 9. + 20., node.lines().len() as f64 * 18. + 14.);
            let (fill, rounded) = match node.kind {
                NodeKind::Task => ("white", 8),
                NodeKind::Always => ("aliceblue", 8),
                NodeKind::End => ("lightgray", 16),
            };
            let look = StyleAttr::new(Color::fast("black"), 1, Some(Color::fast(fill)), rounded, 14);
            graph.add_node(Element::create(ShapeKind::new_box(&label), look, Orientation::TopToBottom, size))
        })
        .collect();
    for edge in &diagram.edges {
        let (style, width) = match edge.kind {
            DiagramEdgeKind::Dependency | DiagramEdgeKind::Route => (LineStyleKind::Normal, 1),
            DiagramEdgeKind::Weak => (LineStyleKind::Dashed, 1),
            DiagramEdgeKind::Back => (LineStyleKind::Normal, 2),
        };
        let look = StyleAttr::new(Color::fast("black"), width, None, 0, 12);
        let label = visible(&edge.label);
        let arrow = Arrow::new(LineEndKind::None, LineEndKind::Arrow, style, &label, &look, &None, &None);
        graph.add_edge(arrow, handles[edge.from], handles[edge.to]);
    }
    let mut canvas = SVGWriter::new();
    graph.do_it(false, false, false, &mut canvas);
    Ok(canvas.finalize())
}

/// XML has no form for most control characters.
fn visible(text: &str) -> String {
    text.chars().map(|c| if invisible(c) && c != '\n' { '\u{fffd}' } else { c }).collect()
}
