use std::collections::BTreeSet;

use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr};
use cel::{Context, ParseErrors, Program, Value};

use super::reason::reason;

/// Deepest nesting of brackets. The parser has a bound of its own; this one is checked before it runs.
const MAX_NESTING: usize = 64;
/// Longest text of the parser that is passed on.
const MAX_REASON: usize = 160;
/// What a rule may speak of.
const VARIABLES: &[&str] = &[
    DOCUMENT,
    DOCUMENTS,
    MANIFEST,
    "artifact",
    "environment",
    "bool",
    "bytes",
    "double",
    "dyn",
    "google",
    "int",
    "list",
    "map",
    "null_type",
    "optional",
    "string",
    "type",
    "uint",
];

pub(super) const DOCUMENT: &str = "document";
pub(super) const DOCUMENTS: &str = "documents";
pub(super) const MANIFEST: &str = "manifest";

/// Which part of a rule an expression is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Match,
    Expression,
}

impl Part {
    /// The key under which it stands.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Expression => "expression",
        }
    }

    fn most_characters(self) -> usize {
        match self {
            Self::Match => 1024,
            Self::Expression => 2048,
        }
    }
}

/// An expression that can be evaluated. It may be so deep that only a thread with a large stack can
/// read, evaluate or drop it.
pub(super) struct Expression {
    part: Part,
    source: String,
    program: Program,
    speaks_of: BTreeSet<String>,
}

impl Expression {
    /// Reads an expression. The reason why it cannot be read continues `its match` or `its expression`.
    pub(super) fn read(part: Part, source: &str) -> Result<Self, String> {
        let most = part.most_characters();
        if source.chars().count() > most {
            return Err(format!("has more than {most} characters"));
        }
        if nesting(source) > MAX_NESTING {
            return Err(format!(
                "cannot be read: it nests deeper than {MAX_NESTING} brackets"
            ));
        }
        let program = Program::compile(source).map_err(|errors| unreadable(&errors))?;
        let mut free = Free::default();
        free.visit(program.expression());
        let unknown = free
            .found
            .iter()
            .find(|name| !VARIABLES.contains(&name.as_str()));
        if let Some(name) = unknown {
            return Err(format!(
                "cannot be read: '{name}' is no variable (there are documents, document, manifest, artifact \
                 and environment)"
            ));
        }
        Ok(Self {
            part,
            source: source.to_owned(),
            program,
            speaks_of: free.found,
        })
    }

    /// Whether it uses this variable.
    pub(super) fn speaks_of(&self, variable: &str) -> bool {
        self.speaks_of.contains(variable)
    }

    /// Whether it holds; else why that cannot be said, without any value.
    pub(super) fn holds(&self, context: &Context<'_, '_>) -> Result<bool, String> {
        let key = self.part.key();
        match self.program.execute(context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("its {key} gives {}, not bool", other.type_of())),
            Err(error) => Err(format!("its {key} fails: {}", reason(&error, &self.source))),
        }
    }
}

/// How deep brackets nest, those in texts included.
fn nesting(source: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    for c in source.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The first error; what it quotes is the rule's own text.
fn unreadable(errors: &ParseErrors) -> String {
    let Some(first) = errors.errors.first() else {
        return "cannot be read".to_owned();
    };
    // The parser says its own limit as Debug text.
    if errors
        .errors
        .iter()
        .any(|error| error.msg.contains("Recursion limit"))
    {
        return "cannot be read: it nests too deep".to_owned();
    }
    let (line, column) = first.pos;
    let text = first.msg.trim_start_matches("Syntax error: ");
    let text = text.split(" expecting ").next().unwrap_or(text);
    let text: String = text.chars().take(MAX_REASON).collect();
    format!("cannot be read: {text} (line {line}, column {column})")
}

/// The variables that an expression uses, without those that its own macros bind.
#[derive(Default)]
struct Free {
    bound: Vec<String>,
    found: BTreeSet<String>,
}

impl Free {
    fn visit(&mut self, expression: &IdedExpr) {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => self.visit(&select.operand),
            Expr::Call(call) => {
                let target = call.target.as_deref();
                target
                    .into_iter()
                    .chain(&call.args)
                    .for_each(|inner| self.visit(inner));
            }
            Expr::List(list) => list.elements.iter().for_each(|inner| self.visit(inner)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.entry(&entry.expr)),
            Expr::Struct(of) => of.entries.iter().for_each(|entry| self.entry(&entry.expr)),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
        }
    }

    fn entry(&mut self, entry: &EntryExpr) {
        match entry {
            EntryExpr::StructField(field) => self.visit(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.visit(&entry.key);
                self.visit(&entry.value);
            }
        }
    }

    fn comprehension(&mut self, of: &ComprehensionExpr) {
        self.visit(&of.iter_range);
        self.visit(&of.accu_init);
        let before = self.bound.len();
        self.bound.push(of.accu_var.clone());
        self.bound.push(of.iter_var.clone());
        self.bound.extend(of.iter_var2.clone());
        self.visit(&of.loop_cond);
        self.visit(&of.loop_step);
        self.visit(&of.result);
        self.bound.truncate(before);
    }

    fn name(&mut self, name: &str) {
        // A leading dot only says that no macro's variable is meant.
        let (absolute, plain) = match name.strip_prefix('.') {
            Some(plain) => (true, plain),
            None => (false, name),
        };
        if absolute || !self.bound.iter().any(|bound| bound == plain) {
            self.found.insert(plain.to_owned());
        }
    }
}
