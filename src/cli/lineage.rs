//! `lineage`: sources, the version, what was made from it, and who used these, as a tree, for Graphviz or as JSON.

use std::collections::{BTreeMap, HashMap, HashSet};

use clap::{Args, ValueEnum};
use dagset::base::{Id, Result};
use dagset::engine::{Lineage, LineageVersion, UseCard};

use super::history::why_gone;
use super::ui::Paint;
use super::{Context, Ending, addresses, json, table, ui, uses};

const EXAMPLES: &str = "\
Examples:
  dagset lineage ./store/photos@2.0
  dagset lineage ./store/photos@2.0 --format dot | dot -Tsvg > lineage.svg";

/// Draw what a version came from, what came of it, and who used it
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct LineageArgs {
    /// [STORE/]DATASET[@REF], or a REF in a workspace [default: the workspace's]
    #[arg(value_name = "ADDRESS")]
    address: Option<String>,
    /// tree, dot for Graphviz, or json
    #[arg(long, value_name = "FORM", default_value = "tree", hide_possible_values = true, hide_default_value = true)]
    format: Form,
    /// Steps to each side
    #[arg(long, value_name = "N", default_value_t = 10)]
    depth: u32,
}

/// How a lineage is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Tree,
    Dot,
    Json,
}

/// A line of the tree and what hangs on it.
struct Node {
    /// What it is called.
    name: String,
    /// What else is said of it, where there is room.
    more: String,
    below: Vec<Node>,
}

impl Node {
    fn new(name: impl Into<String>, more: impl Into<String>, below: Vec<Node>) -> Node {
        Node { name: name.into(), more: more.into(), below }
    }
}

pub fn run(context: &mut Context, args: &LineageArgs) -> Result<Ending> {
    let address = addresses::parse_or_here(context, args.address.as_deref())?;
    let lineage = context.watched(|engine| engine.lineage(&address, args.depth))?;
    let as_json = context.global.json || args.format == Form::Json;
    match args.format {
        _ if as_json => context.out.document(&json::document(json::Lineage::from(&lineage))),
        Form::Dot => write!(context.out, "{}", dot(&lineage)),
        Form::Tree | Form::Json => draw_tree(context, &lineage),
    }
    if lineage.left_out > 0 {
        context.say(&format!("and {}: `dagset uses` lists them", ui::count(lineage.left_out as u64, "older use")));
    }
    uses::without(lineage.damaged, as_json)
}

fn called(version: &LineageVersion) -> String {
    match &version.name {
        Some(name) => format!("{}@{name}", version.dataset),
        None => format!("{}@{}", version.dataset, version.version.short()),
    }
}

/// What is said behind what a version is called: its id where that is a name, and its time.
fn about(version: &LineageVersion) -> String {
    let id = version.name.as_ref().map(|_| format!("{}  ", version.version.short()));
    format!("{}{}", id.unwrap_or_default(), ui::moment(version.time))
}

/// What is said behind a version whose content keep rules let go.
fn let_go(version: &LineageVersion) -> String {
    version.let_go.map_or_else(String::new, |_| format!("  {}", ui::LET_GO))
}

/// What leads from a version to its neighbours on one side.
struct Side<'a> {
    lineage: &'a Lineage,
    known: HashMap<Id, &'a LineageVersion>,
    /// Neighbours of each, and what the parent is called there.
    next: BTreeMap<Id, Vec<(Id, &'a str)>>,
    with_uses: bool,
    shown: HashSet<Id>,
}

impl<'a> Side<'a> {
    fn new(lineage: &'a Lineage, to_parents: bool) -> Side<'a> {
        let mut next: BTreeMap<Id, Vec<(Id, &str)>> = BTreeMap::new();
        for edge in &lineage.edges {
            let (from, to) = if to_parents { (edge.child, edge.parent) } else { (edge.parent, edge.child) };
            next.entry(from).or_default().push((to, &edge.role));
        }
        let known = lineage.versions.iter().map(|version| (version.version, version)).collect();
        Side { lineage, known, next, with_uses: !to_parents, shown: HashSet::new() }
    }

    fn below(&mut self, id: Id) -> Vec<Node> {
        let next = self.next.get(&id).cloned().unwrap_or_default();
        let mut below: Vec<Node> = next.into_iter().filter_map(|(id, role)| self.node(id, role)).collect();
        let gone = self.known.get(&id).filter(|_| !self.with_uses).map(|version| version.gone_parents.iter());
        below
            .extend(gone.into_iter().flatten().map(|gone| Node::new(gone.version.short(), why_gone(gone), Vec::new())));
        below
    }

    fn node(&mut self, id: Id, role: &str) -> Option<Node> {
        let version = *self.known.get(&id)?;
        let mut more = about(version);
        if !role.is_empty() {
            more.push_str(&format!("  as {}", ui::clean(role)));
        }
        more.push_str(&let_go(version));
        if !self.shown.insert(id) {
            return Some(Node::new(called(version), format!("{more}  (above)"), Vec::new()));
        }
        let mut below = if self.with_uses { uses_of(self.lineage, &id) } else { Vec::new() };
        below.extend(self.below(id));
        if version.is_cut {
            below.push(Node::new("…", "--depth shows more", Vec::new()));
        }
        Some(Node::new(called(version), more, below))
    }
}

/// The runs that used a version, each with its models.
fn uses_of(lineage: &Lineage, version: &Id) -> Vec<Node> {
    let mut runs: Vec<(&UseCard, Vec<&str>)> = Vec::new();
    for card in lineage.uses.iter().filter(|card| card.version == *version) {
        match runs.iter_mut().find(|(run, _)| run.run.id == card.run.id) {
            Some((_, models)) => models.extend(card.model.as_deref()),
            None => runs.push((card, card.model.as_deref().into_iter().collect())),
        }
    }
    let run = |(card, models): (&UseCard, Vec<&str>)| {
        let model = |model: &&str| Node::new(format!("model {}", ui::clean(model)), "", Vec::new());
        let more = format!("{}  {}", ui::moment(card.time), ui::clean(&card.actor));
        Node::new(format!("run {}", ui::clean(&card.run.id)), more, models.iter().map(model).collect())
    };
    runs.into_iter().map(run).collect()
}

fn draw_tree(context: &mut Context, lineage: &Lineage) {
    let Some(own) = lineage.versions.iter().find(|version| version.version == lineage.version) else { return };
    let sides = [
        ("made from", Side::new(lineage, true).below(lineage.version)),
        ("made from it", Side::new(lineage, false).below(lineage.version)),
        ("used by", uses_of(lineage, &lineage.version)),
    ];
    let below = sides.into_iter().filter(|(_, nodes)| !nodes.is_empty());
    let below = below.map(|(title, nodes)| Node::new(title, "", nodes)).collect();
    let more = format!("{}{}", about(own), let_go(own));
    let root = Node::new(called(own), more, below);
    let (paint, columns) = (context.paint, ui::columns().unwrap_or(usize::MAX));
    draw(context, paint, columns, &root, "", "");
}

fn draw(context: &mut Context, paint: Paint, columns: usize, node: &Node, first: &str, then: &str) {
    let room = columns.saturating_sub(ui::width(first)).max(12);
    let name = table::cut(&node.name, room);
    let left = room.saturating_sub(ui::width(&name) + 2);
    let more = if node.more.is_empty() || left < 12 { String::new() } else { table::cut(&node.more, left) };
    let gap = if more.is_empty() { "" } else { "  " };
    writeln!(context.out, "{}{}{gap}{}", paint.dim(first), paint.bold(name), paint.dim(more));
    for (at, child) in node.below.iter().enumerate() {
        let (branch, below) =
            if at + 1 == node.below.len() { ("└── ", "    ") } else { ("├── ", "│   ") };
        draw(context, paint, columns, child, &format!("{then}{branch}"), &format!("{then}{below}"));
    }
}

/// The graph in Graphviz' language: from sources to the version, on to runs and to models.
fn dot(lineage: &Lineage) -> String {
    let mut out = "digraph lineage {\n  rankdir=LR;\n  node [shape=box];\n".to_owned();
    let mut line = |text: String| out.push_str(&format!("  {text};\n"));
    for version in &lineage.versions {
        let style = if version.version == lineage.version { ", style=bold" } else { "" };
        let bare = version.let_go.map_or_else(String::new, |_| format!("\\n{}", ui::LET_GO));
        let label = format!("{}\\n{}{bare}", escaped(&called(version)), version.version.short());
        line(format!("\"{}\" [label=\"{label}\"{style}]", version.version));
    }
    for version in &lineage.versions {
        for gone in &version.gone_parents {
            let label = format!("{}\\n{}", gone.version.short(), escaped(&why_gone(gone)));
            line(format!("\"{}\" [label=\"{label}\", style=dashed]", gone.version));
            line(format!("\"{}\" -> \"{}\"", gone.version, version.version));
        }
    }
    for edge in &lineage.edges {
        let label = if edge.role.is_empty() { String::new() } else { format!(" [label=\"{}\"]", escaped(&edge.role)) };
        line(format!("\"{}\" -> \"{}\"{label}", edge.parent, edge.child));
    }
    let mut drawn = HashSet::new();
    for card in &lineage.uses {
        let run = format!("run {}", escaped(&card.run.id));
        if drawn.insert(run.clone()) {
            line(format!("\"{run}\" [shape=ellipse]"));
        }
        if drawn.insert(format!("{} {run}", card.version)) {
            line(format!("\"{}\" -> \"{run}\"", card.version));
        }
        if let Some(model) = card.model.as_ref().map(|model| format!("model {}", escaped(model))) {
            if drawn.insert(model.clone()) {
                line(format!("\"{model}\" [shape=hexagon]"));
            }
            if drawn.insert(format!("{run} {model}")) {
                line(format!("\"{run}\" -> \"{model}\""));
            }
        }
    }
    out.push_str("}\n");
    out
}

/// Text as it stands between quotes: nothing in it ends them, and nothing is a code of Graphviz'.
fn escaped(text: &str) -> String {
    ui::clean(text).replace('\\', "\\\\").replace('"', "\\\"")
}
