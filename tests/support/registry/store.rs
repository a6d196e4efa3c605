//! What the registry double holds, and how an honest registry answers from it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use base64::Engine as _;
use floe::domain::artifact::Digest;
use serde_json::{Value, json};

use super::{Auth, Options};

pub(crate) const USER: &str = "robot";
pub(crate) const PASSWORD: &str = "hunter2-s3cret";

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) authorization: Option<String>,
}

pub(crate) struct Store {
    pub(crate) options: Options,
    /// User and password that are let in; the password is the identity token too.
    pub(crate) login: Arc<Mutex<(String, String)>>,
    /// The token service takes user and password by GET.
    pub(crate) tokens_by_get: bool,
    /// The token service takes what OAuth 2 has, by POST.
    pub(crate) tokens_by_post: bool,
    pub(crate) origin: String,
    pub(crate) manifests: HashMap<(String, String), (Bytes, String)>,
    pub(crate) tags: BTreeMap<(String, String), String>,
    pub(crate) blobs: HashMap<(String, String), Bytes>,
    pub(crate) uploads: HashSet<String>,
    /// Issued tokens and their scopes.
    pub(crate) tokens: HashMap<String, String>,
    pub(crate) log: Vec<Logged>,
    pub(crate) issued: usize,
}

pub(crate) type Reply = Response<Bytes>;

impl Store {
    pub(crate) fn new(options: Options, origin: String) -> Self {
        Self {
            options,
            login: Arc::new(Mutex::new((USER.to_owned(), PASSWORD.to_owned()))),
            tokens_by_get: true,
            tokens_by_post: true,
            origin,
            manifests: HashMap::new(),
            tags: BTreeMap::new(),
            blobs: HashMap::new(),
            uploads: HashSet::new(),
            tokens: HashMap::new(),
            log: Vec::new(),
            issued: 0,
        }
    }

    /// The answer of an honest registry, applied.
    pub(crate) fn answer(
        &mut self,
        method: &Method,
        path: &str,
        query: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Reply {
        if path == "/token" {
            return self.token(method, query, headers, body);
        }
        if let Some(digest) = path.strip_prefix("/storage/") {
            return match self.blobs.iter().find(|((_, known), _)| known == digest) {
                Some((_, bytes)) => reply(StatusCode::OK, &[], bytes.clone()),
                None => reply(StatusCode::FORBIDDEN, &[], Bytes::new()),
            };
        }
        let Some((name, kind, rest)) = split(path) else {
            return error(StatusCode::NOT_FOUND, "NOT_FOUND", "no such page");
        };
        if let Some(refused) = self.unauthorized(&name, method, headers) {
            return refused;
        }
        match (kind, method.as_str()) {
            ("manifests", "GET" | "HEAD") => self.read_manifest(&name, &rest),
            ("manifests", "PUT") => self.write_manifest(&name, &rest, headers, body),
            ("uploads", "POST") => {
                self.issued += 1;
                let session = format!("session-{}", self.issued);
                let location = format!("/v2/{name}/blobs/uploads/{session}?_state=a%2Fb");
                self.uploads.insert(session);
                reply(
                    StatusCode::ACCEPTED,
                    &[("location", &location)],
                    Bytes::new(),
                )
            }
            ("uploads", "PUT") => self.finish_upload(&name, &rest, query, body),
            ("blobs", "GET" | "HEAD") => self.read_blob(&name, &rest),
            ("tags", "GET") => self.list_tags(&name, query),
            ("referrers", "GET") if self.options.referrers_api => self.referrers(&name, &rest),
            _ => reply(
                StatusCode::NOT_FOUND,
                &[("content-type", "text/plain")],
                Bytes::from_static(b"404 page not found\n"),
            ),
        }
    }

    fn token(&mut self, method: &Method, query: &str, headers: &HeaderMap, body: &Bytes) -> Reply {
        let by_post = method == Method::POST;
        if (by_post && !self.tokens_by_post) || (!by_post && !self.tokens_by_get) {
            return reply(StatusCode::METHOD_NOT_ALLOWED, &[], Bytes::new());
        }
        let asked = if by_post { body } else { query.as_bytes() };
        let asked: HashMap<String, String> =
            url::form_urlencoded::parse(asked).into_owned().collect();
        let given = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
        let login = self.login.lock().unwrap().clone();
        let (user, password) = (login.0.as_str(), login.1.as_str());
        let let_in = match (by_post, given("grant_type")) {
            (false, _) => {
                headers.get(header::AUTHORIZATION) == Some(&basic(&login).parse().unwrap())
            }
            (true, "refresh_token") => given("refresh_token") == password,
            (true, "password") => given("username") == user && given("password") == password,
            (true, _) => false,
        };
        if !let_in {
            return error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "who are you");
        }
        assert_eq!(given("service"), "double");
        let scope = given("scope").to_owned();
        self.issued += 1;
        let token = format!("token-{}", self.issued);
        self.tokens.insert(token.clone(), scope);
        let body = json!({"token": token, "expires_in": 300}).to_string();
        reply(
            StatusCode::OK,
            &[("content-type", "application/json")],
            Bytes::from(body),
        )
    }

    fn unauthorized(&self, name: &str, method: &Method, headers: &HeaderMap) -> Option<Reply> {
        let sent = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let writes = method != Method::GET && method != Method::HEAD;
        let challenge = match self.options.auth {
            Auth::None => return None,
            Auth::Basic if sent == Some(basic(&self.login.lock().unwrap()).as_str()) => {
                return None;
            }
            Auth::Basic => "Basic realm=\"floe\"".to_owned(),
            Auth::Bearer => {
                let token = sent.and_then(|sent| sent.strip_prefix("Bearer "));
                let scope = token.and_then(|token| self.tokens.get(token));
                let actions = if writes { "pull,push" } else { "pull" };
                let wanted = format!("repository:{name}:{actions}");
                if scope.is_some_and(|scope| scope.starts_with(&wanted)) {
                    return None;
                }
                format!(
                    "Bearer realm=\"{}/token\",service=\"double\",scope=\"repository:*:*\"",
                    self.origin
                )
            }
        };
        let mut refused = error(
            StatusCode::UNAUTHORIZED,
            "UNAUTHORIZED",
            "authentication required",
        );
        refused
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge.parse().unwrap());
        Some(refused)
    }

    fn read_manifest(&self, name: &str, reference: &str) -> Reply {
        let tagged = self.tags.get(&(name.to_owned(), reference.to_owned()));
        let digest = tagged.map_or(reference, String::as_str);
        match self.manifests.get(&(name.to_owned(), digest.to_owned())) {
            Some((bytes, media_type)) => reply(
                StatusCode::OK,
                &[
                    ("content-type", media_type),
                    ("docker-content-digest", digest),
                ],
                bytes.clone(),
            ),
            None => error(
                StatusCode::NOT_FOUND,
                "MANIFEST_UNKNOWN",
                "manifest unknown",
            ),
        }
    }

    fn write_manifest(
        &mut self,
        name: &str,
        reference: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Reply {
        let digest = Digest::of(body).to_string();
        let media_type = headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
        if self.lacks_parts(name, &parsed) {
            return error(
                StatusCode::BAD_REQUEST,
                "MANIFEST_BLOB_UNKNOWN",
                "blob unknown",
            );
        }
        if !reference.starts_with("sha256:") {
            let key = (name.to_owned(), reference.to_owned());
            let taken = self.tags.get(&key).is_some_and(|there| *there != digest);
            if taken && self.options.immutable_tags {
                return error(
                    StatusCode::PRECONDITION_FAILED,
                    "PRECONDITION",
                    "tag is immutable",
                );
            }
            self.tags.insert(key, digest.clone());
        }
        self.manifests.insert(
            (name.to_owned(), digest.clone()),
            (body.clone(), media_type),
        );
        let mut answer = reply(
            StatusCode::CREATED,
            &[("docker-content-digest", &digest)],
            Bytes::new(),
        );
        if let Some(subject) = parsed["subject"]["digest"].as_str()
            && self.options.referrers_api
        {
            answer
                .headers_mut()
                .insert("oci-subject", subject.parse().unwrap());
        }
        answer
    }

    /// As distribution does: everything that a manifest lists has to be there, but not its
    /// subject.
    fn lacks_parts(&self, name: &str, manifest: &Value) -> bool {
        let there = |part: &Value, manifests: bool| {
            let digest = part["digest"].as_str().unwrap_or_default().to_owned();
            let key = (name.to_owned(), digest);
            if manifests {
                self.manifests.contains_key(&key)
            } else {
                self.blobs.contains_key(&key)
            }
        };
        let parts = |field: &str| manifest[field].as_array().cloned().unwrap_or_default();
        manifest
            .get("config")
            .is_some_and(|config| !there(config, false))
            || parts("layers").iter().any(|layer| !there(layer, false))
            || parts("manifests").iter().any(|entry| !there(entry, true))
    }

    fn finish_upload(&mut self, name: &str, session: &str, query: &str, body: &Bytes) -> Reply {
        let digest = Digest::of(body).to_string();
        let asked: HashMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).collect();
        let right = asked.get("digest").is_some_and(|asked| *asked == digest)
            && asked.get("_state").is_some_and(|state| state == "a/b");
        if !right {
            return error(
                StatusCode::BAD_REQUEST,
                "DIGEST_INVALID",
                "wrong digest or state",
            );
        }
        if !self.uploads.remove(session) {
            return error(
                StatusCode::NOT_FOUND,
                "BLOB_UPLOAD_UNKNOWN",
                "no such upload",
            );
        }
        self.blobs
            .insert((name.to_owned(), digest.clone()), body.clone());
        reply(
            StatusCode::CREATED,
            &[("docker-content-digest", &digest)],
            Bytes::new(),
        )
    }

    fn read_blob(&self, name: &str, digest: &str) -> Reply {
        match self.blobs.get(&(name.to_owned(), digest.to_owned())) {
            Some(_) if self.options.redirect_blobs => {
                let place = format!("{}/storage/{digest}?signature=secret", self.origin);
                reply(
                    StatusCode::TEMPORARY_REDIRECT,
                    &[("location", &place)],
                    Bytes::new(),
                )
            }
            Some(bytes) => reply(
                StatusCode::OK,
                &[
                    ("content-type", "application/octet-stream"),
                    ("docker-content-digest", digest),
                ],
                bytes.clone(),
            ),
            None => error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown"),
        }
    }

    /// Two a page, whatever was asked for.
    fn list_tags(&self, name: &str, query: &str) -> Reply {
        let asked: HashMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).collect();
        let last = asked
            .get("last")
            .map(ToString::to_string)
            .unwrap_or_default();
        let all: Vec<&String> = self
            .tags
            .keys()
            .filter(|(place, tag)| place == name && *tag > last)
            .map(|(_, tag)| tag)
            .collect();
        let page: Vec<_> = all.iter().take(2).collect();
        let body = json!({"name": name, "tags": page}).to_string();
        let mut answer = reply(
            StatusCode::OK,
            &[("content-type", "application/json")],
            Bytes::from(body),
        );
        if all.len() > 2 {
            let link = format!("</v2/{name}/tags/list?n=2&last={}>; rel=\"next\"", all[1]);
            answer
                .headers_mut()
                .insert(header::LINK, link.parse().unwrap());
        }
        answer
    }

    fn referrers(&self, name: &str, subject: &str) -> Reply {
        let mut entries = Vec::new();
        for ((place, digest), (bytes, media_type)) in &self.manifests {
            let parsed: Value = serde_json::from_slice(bytes).unwrap_or_default();
            if place == name && parsed["subject"]["digest"] == subject {
                entries.push(json!({
                    "mediaType": media_type, "digest": digest, "size": bytes.len(),
                    "artifactType": parsed["artifactType"], "annotations": parsed["annotations"],
                }));
            }
        }
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries});
        reply(
            StatusCode::OK,
            &[("content-type", media_type)],
            Bytes::from(index.to_string()),
        )
    }
}

pub(crate) fn reply(status: StatusCode, headers: &[(&str, &str)], body: Bytes) -> Reply {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body).unwrap()
}

pub(crate) fn error(status: StatusCode, code: &str, message: &str) -> Reply {
    let body = json!({"errors": [{"code": code, "message": message}]}).to_string();
    reply(
        status,
        &[("content-type", "application/json")],
        Bytes::from(body),
    )
}

fn basic((user, password): &(String, String)) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {pair}")
}

/// `/v2/<name>/<kind>/<rest>`.
fn split(path: &str) -> Option<(String, &'static str, String)> {
    let path = path.strip_prefix("/v2/")?;
    let parts = [
        ("/blobs/uploads/", "uploads"),
        ("/manifests/", "manifests"),
        ("/blobs/", "blobs"),
        ("/tags/list", "tags"),
        ("/referrers/", "referrers"),
    ];
    parts.into_iter().find_map(|(separator, kind)| {
        let (name, rest) = path.split_once(separator)?;
        Some((name.to_owned(), kind, rest.to_owned()))
    })
}
