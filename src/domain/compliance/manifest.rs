use super::node::Node;
use super::{Finding, MANIFEST, error};

const RULE: &str = "manifest-form";

/// Checks the platform manifest. Keys that are not known are kept and not looked at.
/// Without a promoted version, any is good.
pub(super) fn check(nodes: &[Node], version: Option<&str>, findings: &mut Vec<Finding>) {
    let [manifest @ Node::Map(_)] = nodes else {
        let message = "it must be one YAML document with a map of keys".to_owned();
        findings.push(error(RULE, MANIFEST, "", message));
        return;
    };
    let mut form = Form { findings };
    form.constant(manifest, "apiVersion", "floe.dev/v1");
    form.constant(manifest, "kind", "Manifest");
    form.metadata(manifest, version);
    for section in [
        "observability",
        "governance",
        "resource_presets",
        "artifacts",
    ] {
        form.map(manifest, "", section);
    }
    form.governance(manifest);
    if let Some(artifacts) = manifest.get("artifacts") {
        form.map(artifacts, "/artifacts", "registry");
        form.map(artifacts, "/artifacts", "promotion");
    }
    if let Some(Node::Bool(_) | Node::Number(_) | Node::Text(_)) = manifest.get("plugins") {
        form.wrong("/plugins", "must be a map or a list");
    }
}

struct Form<'a> {
    findings: &'a mut Vec<Finding>,
}

impl Form<'_> {
    fn wrong(&mut self, pointer: &str, what: &str) {
        let name = pointer.trim_start_matches('/').replace('/', ".");
        self.findings
            .push(error(RULE, MANIFEST, pointer, format!("'{name}' {what}")));
    }

    fn constant(&mut self, manifest: &Node, key: &str, wanted: &str) {
        if !matches!(manifest.get(key), Some(Node::Text(text)) if text == wanted) {
            self.wrong(&format!("/{key}"), &format!("must be '{wanted}'"));
        }
    }

    fn map(&mut self, node: &Node, parent: &str, key: &str) {
        if !matches!(node.get(key), None | Some(Node::Null | Node::Map(_))) {
            self.wrong(&format!("{parent}/{key}"), "must be a map");
        }
    }

    fn metadata(&mut self, manifest: &Node, promoted: Option<&str>) {
        let Some(metadata @ Node::Map(_)) = manifest.get("metadata") else {
            self.wrong("/metadata", "must be a map with 'name' and 'version'");
            return;
        };
        match metadata.get("name") {
            Some(Node::Text(name)) if !name.trim().is_empty() => {}
            _ => self.wrong("/metadata/name", "must be a text that is not empty"),
        }
        for key in ["owner", "description"] {
            if !matches!(metadata.get(key), None | Some(Node::Null | Node::Text(_))) {
                self.wrong(&format!("/metadata/{key}"), "must be a text");
            }
        }
        match metadata.get("version") {
            Some(Node::Text(version)) if !version.trim().is_empty() => {
                let Some(promoted) = promoted else {
                    return;
                };
                if without_v(version) == without_v(promoted) {
                    return;
                }
                // The promoted version is known to all; the other one is the document's text.
                let message = format!(
                    "'metadata.version' is not the promoted version '{promoted}' (a leading 'v' aside)"
                );
                let finding = error("manifest-version", MANIFEST, "/metadata/version", message);
                self.findings.push(finding);
            }
            Some(Node::Number(_)) => {
                self.wrong("/metadata/version", "is a number: put it in quotes");
            }
            _ => self.wrong("/metadata/version", "must be a text that is not empty"),
        }
    }

    fn governance(&mut self, manifest: &Node) {
        let Some(governance) = manifest.get("governance") else {
            return;
        };
        if let Some(days) = governance.get("data_retention_days")
            && !number(days).is_some_and(|days| days >= 0.0 && days.fract() == 0.0)
        {
            self.wrong(
                "/governance/data_retention_days",
                "must be a whole number of days, 0 or more",
            );
        }
        self.map(governance, "/governance", "quality_gates");
        let coverage = governance
            .get("quality_gates")
            .and_then(|gates| gates.get("minimum_test_coverage"));
        if let Some(coverage) = coverage
            && !number(coverage).is_some_and(|percent| (0.0..=100.0).contains(&percent))
        {
            let pointer = "/governance/quality_gates/minimum_test_coverage";
            self.wrong(pointer, "must be a number from 0 to 100");
        }
    }
}

fn without_v(version: &str) -> &str {
    version.strip_prefix('v').unwrap_or(version)
}

fn number(node: &Node) -> Option<f64> {
    match node {
        Node::Number(text) => text.parse().ok(),
        Node::Null | Node::Bool(_) | Node::Text(_) | Node::List(_) | Node::Map(_) => None,
    }
}
