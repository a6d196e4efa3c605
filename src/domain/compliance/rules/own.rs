use std::collections::BTreeSet;

use super::super::node::Node;
use super::super::{Finding, Rule, RuleSeverity, error};
use super::Source;

const RULE: &str = "policy-form";
/// Most rules that an artifact may bring along.
const MAX_RULES: usize = 256;
const MAX_NAME: usize = 63;
const MAX_MESSAGE: usize = 512;
const KEYS: &[&str] = &["name", "severity", "match", "expression", "message"];

/// The rules that an artifact brings along.
#[derive(Default)]
pub(in crate::domain::compliance) struct OwnRules {
    rules: Vec<(Rule, String, String)>,
    names: BTreeSet<String>,
    seen: usize,
}

/// Reads one file of rules: a list. What is wrong with its form is a finding, and such a rule is not used.
pub(in crate::domain::compliance) fn read(
    path: &str,
    nodes: &[Node],
    own: &mut OwnRules,
    findings: &mut Vec<Finding>,
) {
    let [Node::List(items)] = nodes else {
        let message = "it must be one YAML list of rules".to_owned();
        findings.push(error(RULE, path, "", message));
        return;
    };
    for (index, item) in items.iter().enumerate() {
        let pointer = format!("/{index}");
        own.seen += 1;
        if own.seen > MAX_RULES {
            let message = format!("an artifact may bring at most {MAX_RULES} rules along");
            findings.push(error(RULE, path, &pointer, message));
            return;
        }
        let mut form = Form {
            path,
            pointer: &pointer,
            findings,
            good: true,
        };
        let rule = form.rule(item);
        if let Some(rule) = &rule
            && !own.names.insert(rule.name.clone())
        {
            form.wrong("/name", "is the name of another rule of this artifact");
        }
        if let Some(rule) = rule.filter(|_| form.good) {
            own.rules.push((rule, path.to_owned(), pointer));
        }
    }
}

impl OwnRules {
    /// How many of them have a good form.
    pub(in crate::domain::compliance) fn len(&self) -> usize {
        self.rules.len()
    }

    /// Each with its place.
    pub(in crate::domain::compliance) fn sources(&self) -> impl Iterator<Item = Source<'_>> {
        self.rules.iter().map(|(rule, path, pointer)| Source {
            rule,
            at: Some((path, pointer.clone())),
        })
    }
}

struct Form<'a> {
    path: &'a str,
    pointer: &'a str,
    findings: &'a mut Vec<Finding>,
    good: bool,
}

impl Form<'_> {
    fn wrong(&mut self, below: &str, what: &str) {
        self.good = false;
        let pointer = format!("{}{below}", self.pointer);
        let name = below.trim_start_matches('/');
        let message = if name.is_empty() {
            what.to_owned()
        } else {
            format!("'{name}' {what}")
        };
        self.findings
            .push(error(RULE, self.path, &pointer, message));
    }

    fn rule(&mut self, item: &Node) -> Option<Rule> {
        let Node::Map(entries) = item else {
            self.wrong("", "a rule must be a map");
            return None;
        };
        if entries.iter().any(|(key, _)| !KEYS.contains(&key.as_str())) {
            // The key is not named: it is the document's text.
            let what = format!("a rule has no other keys than {}", KEYS.join(", "));
            self.wrong("", &what);
        }
        let severity = match item.get("severity") {
            None => RuleSeverity::Error,
            Some(Node::Text(text)) if text == "error" => RuleSeverity::Error,
            Some(Node::Text(text)) if text == "warning" => RuleSeverity::Warning,
            Some(_) => {
                self.wrong("/severity", "must be 'error' or 'warning'");
                RuleSeverity::Error
            }
        };
        let name = self.text(item, "name").filter(|name| {
            let good = is_name(name);
            if !good {
                let what =
                    "must have lower-case letters, digits and '-', and at most 63 characters";
                self.wrong("/name", what);
            }
            good
        });
        let message = self.text(item, "message").filter(|message| {
            let good = message.chars().count() <= MAX_MESSAGE;
            if !good {
                self.wrong("/message", "must have at most 512 characters");
            }
            good
        });
        let matches = match item.get("match") {
            None => None,
            Some(_) => self.text(item, "match"),
        };
        let expression = self.text(item, "expression");
        Some(Rule {
            name: name?,
            severity,
            matches,
            expression: expression?,
            message: message?,
        })
    }

    fn text(&mut self, item: &Node, key: &str) -> Option<String> {
        match item.get(key) {
            Some(Node::Text(text)) if !text.trim().is_empty() => Some(text.clone()),
            _ => {
                self.wrong(&format!("/{key}"), "must be a text that is not empty");
                None
            }
        }
    }
}

/// As the names of an environment's rules.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=MAX_NAME).contains(&name.len())
        && name.chars().all(|c| plain(c) || c == '-')
        && name.starts_with(plain)
        && name.ends_with(plain)
}
