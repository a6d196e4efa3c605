use floe_gate::secrets::{is_secret_key, known_form};

use super::node::Node;
use super::{Finding, error, which};

/// Name of the rule.
pub(super) const RULE: &str = "literal-secret";

/// Finds literal secrets: scalars under a key that holds secrets, unless they only refer to one, and
/// values in a known form of a secret under any key.
pub(super) fn check(path: &str, nodes: &[Node], findings: &mut Vec<Finding>) {
    for (index, node) in nodes.iter().enumerate() {
        let mut search = Search {
            path,
            which: which(nodes, index),
            findings,
        };
        search.walk(node, &mut String::new(), None);
    }
}

struct Search<'a> {
    path: &'a str,
    which: String,
    findings: &'a mut Vec<Finding>,
}

impl Search<'_> {
    /// `secret_key` is the key that holds secrets under which the node lies, directly or in a list.
    fn walk(&mut self, node: &Node, pointer: &mut String, secret_key: Option<&str>) {
        match node {
            Node::Map(entries) => {
                for (key, value) in entries {
                    let secret_key = Some(key.as_str()).filter(|key| holds_secret(key));
                    self.step(value, pointer, key, secret_key);
                }
            }
            Node::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.step(item, pointer, &index.to_string(), secret_key);
                }
            }
            Node::Text(text) => self.text(text, pointer, secret_key),
            Node::Number(_) => self.under_key(pointer, secret_key),
            // Neither can be a secret: `automountServiceAccountToken: false` is an ordinary setting.
            Node::Null | Node::Bool(_) => {}
        }
    }

    fn step(&mut self, node: &Node, pointer: &mut String, part: &str, secret_key: Option<&str>) {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
        self.walk(node, pointer, secret_key);
        pointer.truncate(length);
    }

    fn text(&mut self, text: &str, pointer: &str, secret_key: Option<&str>) {
        if let Some(form) = known_form(text) {
            self.found(
                pointer,
                &format!("the value has the form of a secret ({form})"),
            );
        } else if !text.is_empty() && !is_reference(text) {
            self.under_key(pointer, secret_key);
        }
    }

    fn under_key(&mut self, pointer: &str, secret_key: Option<&str>) {
        if secret_key.is_some() {
            self.found(pointer, "a key that holds a secret has a literal value");
        }
    }

    fn found(&mut self, pointer: &str, what: &str) {
        let message = format!(
            "{what}{}; refer to it, as in '${{NAME}}' or secretKeyRef",
            self.which
        );
        self.findings.push(error(RULE, self.path, pointer, message));
    }
}

/// `existingSecret` ends like a key that holds a secret, and only names one.
fn holds_secret(key: &str) -> bool {
    let plain = key.to_ascii_lowercase().replace(['-', '_'], "");
    is_secret_key(key) && plain != "existingsecret"
}

/// `${NAME}`, `{{ ... }}`, `vault:...` or `ref+...`, and nothing beside it.
fn is_reference(text: &str) -> bool {
    let text = text.trim();
    let name = text
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    let is_name = name.is_some_and(|name| {
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
    });
    let template = text
        .strip_prefix("{{")
        .and_then(|rest| rest.strip_suffix("}}"));
    let is_template = template.is_some_and(|inner| !inner.contains("}}") && !inner.contains("{{"));
    let points = ["vault:", "ref+"].iter().any(|prefix| {
        text.strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty())
    });
    is_name || is_template || points
}
