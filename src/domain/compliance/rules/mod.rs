//! Rules in CEL: reads them, and says which do not hold.
//!
//! An expression can nest so deep, and go through lists so often, that only a thread with a large stack and
//! a time limit may come here (`effects::bounded`).

mod expression;
mod own;
mod reason;
mod value;

use cel::Context;

use self::expression::{DOCUMENT, DOCUMENTS, Expression, MANIFEST, Part};
use super::node::Node;
use super::{Finding, Rule, RuleSeverity, Severity, Subject, error};
pub(super) use own::{OwnRules, read};

/// Stands in the place of the path in findings that are about no document.
pub(super) const NO_DOCUMENT: &str = "(artifact)";

/// One document of a file.
pub(super) struct Document<'a> {
    pub(super) path: &'a str,
    pub(super) node: &'a Node,
    /// Which of several documents of the file it is, for messages.
    pub(super) which: String,
}

/// What rules may speak of.
pub(super) struct Facts<'a> {
    pub(super) subject: &'a Subject,
    pub(super) version: &'a str,
    pub(super) documents: &'a [Document<'a>],
    pub(super) manifest: Option<&'a Node>,
}

/// A rule and where it stands.
pub(super) struct Source<'a> {
    pub(super) rule: &'a Rule,
    /// File and pointer, for a rule of the artifact's own.
    pub(super) at: Option<(&'a str, String)>,
}

/// Why the first of these rules that cannot be read cannot be: a sentence with its name.
pub fn unreadable(rules: &[Rule]) -> Option<String> {
    rules.iter().find_map(|rule| {
        let (part, why) = Readable::read(rule).err()?;
        Some(format!("'{}': its {} {why}", rule.name, part.key()))
    })
}

/// Rules that were read.
pub(super) struct Rules<'a> {
    readable: Vec<Readable<'a>>,
}

struct Readable<'a> {
    rule: &'a Rule,
    matches: Option<Expression>,
    expression: Expression,
}

impl<'a> Rules<'a> {
    /// Reads rules; one that cannot be read is a finding.
    pub(super) fn read(
        sources: impl IntoIterator<Item = Source<'a>>,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let mut readable = Vec::new();
        for Source { rule, at } in sources {
            match Readable::read(rule) {
                Ok(one) => readable.push(one),
                Err((part, why)) => {
                    let message = not_evaluated(&format!("its {} {why}", part.key()));
                    let (path, pointer) = match &at {
                        Some((path, pointer)) => (*path, format!("{pointer}/{}", part.key())),
                        None => (NO_DOCUMENT, String::new()),
                    };
                    findings.push(error(&rule.name, path, &pointer, message));
                }
            }
        }
        Self { readable }
    }

    /// Leaves out the rules that speak of documents, and says how many those are.
    pub(super) fn leave_out_documents(&mut self) -> usize {
        let before = self.readable.len();
        self.readable.retain(|rule| {
            ![DOCUMENT, DOCUMENTS, MANIFEST]
                .iter()
                .any(|variable| rule.speaks_of(variable))
        });
        before - self.readable.len()
    }

    /// Evaluates them; one that does not hold, or cannot be evaluated, is a finding.
    pub(super) fn check(&self, facts: &Facts<'_>, findings: &mut Vec<Finding>) {
        if self.readable.is_empty() {
            return;
        }
        let mut context = Context::default();
        let all = self.readable.iter().any(|rule| rule.speaks_of(DOCUMENTS));
        add_facts(&mut context, facts, all);
        let (each, once): (Vec<_>, Vec<_>) = self
            .readable
            .iter()
            .partition(|rule| rule.speaks_of(DOCUMENT));
        for rule in once {
            findings.extend(rule.finding(&context, NO_DOCUMENT, ""));
        }
        for document in facts.documents {
            if each.is_empty() {
                break;
            }
            let mut inner = context.new_inner_scope();
            inner.add_variable_as_val(DOCUMENT, value_of(document));
            for rule in &each {
                findings.extend(rule.finding(&inner, document.path, &document.which));
            }
        }
    }
}

impl<'a> Readable<'a> {
    fn read(rule: &'a Rule) -> Result<Self, (Part, String)> {
        let read = |part, source: &str| Expression::read(part, source).map_err(|why| (part, why));
        Ok(Self {
            rule,
            matches: rule
                .matches
                .as_deref()
                .map(|source| read(Part::Match, source))
                .transpose()?,
            expression: read(Part::Expression, &rule.expression)?,
        })
    }

    fn speaks_of(&self, variable: &str) -> bool {
        let expressions = self.matches.iter().chain([&self.expression]);
        let mut speaking = expressions.filter(|one| one.speaks_of(variable));
        speaking.next().is_some()
    }

    fn finding(&self, context: &Context<'_, '_>, path: &str, which: &str) -> Option<Finding> {
        let rule = self.rule;
        match self.holds(context) {
            Ok(true) => None,
            Ok(false) => Some(Finding {
                severity: match rule.severity {
                    RuleSeverity::Error => Severity::Error,
                    RuleSeverity::Warning => Severity::Warning,
                },
                ..error(&rule.name, path, "", one_line(&rule.message) + which)
            }),
            // Whatever its severity: nobody knows what it would have said.
            Err(why) => {
                let message = format!("{}{which}", not_evaluated(&why));
                Some(error(&rule.name, path, "", message))
            }
        }
    }

    /// A rule that does not apply holds.
    fn holds(&self, context: &Context<'_, '_>) -> Result<bool, String> {
        if let Some(matches) = &self.matches
            && !matches.holds(context)?
        {
            return Ok(true);
        }
        self.expression.holds(context)
    }
}

/// A message may be a block of lines in YAML; a finding is one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn not_evaluated(why: &str) -> String {
    format!("the rule could not be evaluated: {why}")
}

fn add_facts<'a>(context: &mut Context<'_, 'a>, facts: &Facts<'a>, all: bool) {
    let Subject {
        artifact,
        version: _,
        digest,
        media_type,
        annotations,
        environment,
        from,
    } = facts.subject;
    let annotations = annotations
        .iter()
        .map(|(key, text)| (key.as_str(), value::text(text)));
    let artifact = value::map([
        ("name", value::text(artifact)),
        ("version", value::text(facts.version)),
        ("digest", value::text(digest)),
        ("mediaType", value::text(media_type)),
        ("annotations", value::map(annotations)),
    ]);
    let environment = value::map([
        ("name", value::text(environment)),
        (
            "from",
            from.as_deref().map_or_else(value::null, value::text),
        ),
    ]);
    let manifest = facts.manifest.map_or_else(value::null, value::value);
    context.add_variable_as_val("artifact", artifact);
    context.add_variable_as_val("environment", environment);
    context.add_variable_as_val(MANIFEST, manifest);
    if all {
        let documents = facts.documents.iter().map(value_of).collect();
        context.add_variable_as_val(DOCUMENTS, value::list(documents));
    }
}

fn value_of<'a>(document: &Document<'a>) -> Box<dyn cel::common::value::Val + 'a> {
    value::map([
        ("path", value::text(document.path)),
        ("content", value::value(document.node)),
    ])
}

#[cfg(test)]
mod tests;
