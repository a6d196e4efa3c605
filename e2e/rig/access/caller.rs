//! Asks the API server as somebody else, in a rehearsal.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{Answer, Do, Row};
use crate::control_plane::{ControlPlane, Identity, http_client};

/// Namespace of the table.
pub(super) const SPACE: &str = "access";
/// The gate's Job.
pub(super) const GATE: &str = "floe-gate-of-ann-g-0123456789";
/// The gate's Pod.
pub(super) const POD: &str = "floe-gate-of-ann-g-0123456789-abcde";

/// What came back.
pub(super) struct Answered {
    pub(super) answer: Option<Answer>,
    pub(super) code: u16,
    pub(super) body: Value,
}

/// Impersonates.
pub(super) struct Caller {
    http: reqwest::Client,
    server: String,
}

impl Caller {
    pub(super) fn new(control_plane: &ControlPlane) -> Self {
        Self {
            http: http_client(&control_plane.authority),
            server: control_plane.url.clone(),
        }
    }

    /// Asks for what the row asks for.
    pub(super) async fn ask(&self, row: &Row) -> Answered {
        let on = Target::of(&row.at);
        let with = row.with.clone();
        let (method, path, kind, body) = match row.does {
            Do::Create => {
                let object = merged(on.new_object(), &with);
                (Method::POST, on.collection(), "application/json", object)
            }
            Do::Patch => (
                Method::PATCH,
                on.path(),
                "application/merge-patch+json",
                with,
            ),
            Do::Json => (
                Method::PATCH,
                on.path(),
                "application/json-patch+json",
                with,
            ),
            Do::Apply => {
                let object = merged(on.identity(), &with);
                (
                    Method::PATCH,
                    on.path(),
                    "application/apply-patch+yaml",
                    object,
                )
            }
            Do::Update => {
                let stored = self.stored(&on).await;
                let object = merged(stored, &with);
                (Method::PUT, on.path(), "application/json", object)
            }
            Do::Delete => (Method::DELETE, on.path(), "application/json", Value::Null),
            Do::DeleteCollection => (
                Method::DELETE,
                on.collection(),
                "application/json",
                Value::Null,
            ),
            Do::Connect => (Method::POST, on.path(), "application/json", Value::Null),
        };
        let query: &[(&str, &str)] = match row.does {
            Do::Apply => &[
                ("dryRun", "All"),
                ("fieldManager", "table"),
                ("force", "true"),
            ],
            Do::Connect => &[("command", "true"), ("stdout", "true")],
            _ => &[("dryRun", "All")],
        };
        let mut request = self.as_user(&row.who, method, &path).query(query);
        if !body.is_null() {
            request = request.header("Content-Type", kind).body(body.to_string());
        }
        answered(request).await
    }

    /// Makes or changes something for good; it must succeed.
    pub(super) async fn store(&self, who: &str, method: Method, on: &str, with: &Value) -> Value {
        let target = Target::of(on);
        let (path, kind, body) = if method == Method::POST {
            let object = merged(target.new_object(), with);
            (target.collection(), "application/json", object)
        } else {
            (target.path(), "application/merge-patch+json", with.clone())
        };
        let request = self.as_user(who, method, &path);
        let request = request.header("Content-Type", kind).body(body.to_string());
        let Answered { answer, body, .. } = answered(request).await;
        assert_eq!(answer, Some(Answer::Allowed), "{who} {on}: {body}");
        body
    }

    async fn stored(&self, on: &Target<'_>) -> Value {
        let request = self.as_user("root", Method::GET, &on.without_subresource());
        answered(request).await.body
    }

    fn as_user(&self, who: &str, method: Method, path: &str) -> RequestBuilder {
        let controller = |name: &str| format!("system:serviceaccount:kube-system:{name}");
        let (user, group) = match who {
            "root" => ("root".to_owned(), Some("system:masters")),
            "hand" => (Identity::Hand.user().to_owned(), Some("system:masters")),
            "operator" => (Identity::Operator.user().to_owned(), None),
            "node" => ("system:node:rig".to_owned(), Some("system:nodes")),
            "scheduler" => ("system:kube-scheduler".to_owned(), None),
            "cronjob-controller"
            | "job-controller"
            | "namespace-controller"
            | "pod-garbage-collector"
            | "replicaset-controller" => (controller(who), None),
            "ttl-controller" => (controller("ttl-after-finished-controller"), None),
            "garbage-collector" => (controller("generic-garbage-collector"), None),
            person => (person.to_owned(), None),
        };
        let request = self
            .http
            .request(method, format!("{}{path}", self.server))
            .bearer_auth(Identity::Admin.token())
            .header("Impersonate-User", user);
        match group {
            Some(group) => request.header("Impersonate-Group", group),
            None => request,
        }
    }
}

async fn answered(request: RequestBuilder) -> Answered {
    let response = request.send().await.expect("the API server answers");
    let code = response.status().as_u16();
    let text = response.text().await.expect("an answer");
    let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| json!({ "message": text }));
    let message = body["message"].as_str().unwrap_or_default();
    let answer = match code {
        200..=299 => Some(Answer::Allowed),
        403 if message.contains(".promotion.floe.dev' with binding") => Some(Answer::Policy),
        403 if message.contains("cannot ") => Some(Answer::Rights),
        404 => Some(Answer::Nothing),
        422 => Some(Answer::Object),
        _ if message.contains("host assigned") => Some(Answer::Node),
        _ => None,
    };
    Answered { answer, code, body }
}

/// `resource`, `resource/name` or `resource/name/subresource`.
struct Target<'a> {
    resource: &'a str,
    name: &'a str,
    subresource: &'a str,
}

impl<'a> Target<'a> {
    fn of(on: &'a str) -> Self {
        let mut parts = on.splitn(3, '/');
        let mut part = || parts.next().unwrap_or_default();
        let (resource, name, subresource) = (part(), part(), part());
        let name = match name {
            "GATE" => GATE,
            "POD" => POD,
            name => name,
        };
        Self {
            resource,
            name,
            subresource,
        }
    }

    fn version_and_kind(&self) -> (&'static str, &'static str) {
        match self.resource {
            "promotions" => ("promotion.floe.dev/v1alpha1", "Promotion"),
            "environmentpolicies" => ("promotion.floe.dev/v1alpha1", "EnvironmentPolicy"),
            "jobs" => ("batch/v1", "Job"),
            "pods" => ("v1", "Pod"),
            "secrets" => ("v1", "Secret"),
            _ => ("admissionregistration.k8s.io/v1", ""),
        }
    }

    fn collection(&self) -> String {
        let (version, _) = self.version_and_kind();
        let root = if version == "v1" { "/api" } else { "/apis" };
        let space = if version.starts_with("admission") {
            String::new()
        } else {
            format!("/namespaces/{SPACE}")
        };
        format!("{root}/{version}{space}/{}", self.resource)
    }

    fn without_subresource(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }

    fn path(&self) -> String {
        let path = format!("{}/{}", self.without_subresource(), self.subresource);
        path.trim_end_matches('/').to_owned()
    }

    fn identity(&self) -> Value {
        let (version, kind) = self.version_and_kind();
        json!({ "apiVersion": version, "kind": kind, "metadata": { "name": self.name } })
    }

    /// As much of an object as it must have.
    fn new_object(&self) -> Value {
        let name = if self.name.is_empty() {
            "new"
        } else {
            self.name
        };
        let containers = json!([{ "name": "gate", "image": "i:1" }]);
        let pod = json!({ "restartPolicy": "Never", "containers": containers });
        let spec = match self.resource {
            "jobs" => json!({ "spec": { "template": { "spec": pod } } }),
            "pods" => json!({ "spec": pod }),
            _ => json!({}),
        };
        let named = json!({ "metadata": { "name": name } });
        merged(merged(self.identity(), &named), &spec)
    }
}

/// A merge patch (RFC 7386): null takes away.
fn merged(mut object: Value, patch: &Value) -> Value {
    let Value::Object(fields) = patch else {
        return if patch.is_null() {
            object
        } else {
            patch.clone()
        };
    };
    if !object.is_object() {
        object = json!({});
    }
    for (key, value) in fields {
        let slot = &mut object[key.as_str()];
        if value.is_null() {
            object.as_object_mut().expect("it is one").remove(key);
        } else {
            *slot = merged(slot.take(), value);
        }
    }
    object
}
