//! The services of three clouds and the part of the API server that makes tokens, in one process. They check
//! what they are asked as the vendors do, and answer with the vendors' own errors.

pub(crate) mod sigv4;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use floe::domain::policy::cloud::Service;
use floe::effects::cloud::CloudEndpoints;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/floe";
pub(crate) const POOL: &str = "projects/12/locations/global/workloadIdentityPools/pool/providers/k";
pub(crate) const ACCOUNT: &str = "floe@team.iam.gserviceaccount.com";
pub(crate) const TENANT: &str = "7e6c0000-0000-4000-8000-000000000001";
pub(crate) const CLIENT: &str = "c11e0000-0000-4000-8000-000000000002";
/// The Date that every answer carries: the clouds' clock, which is not ours.
pub(crate) const DATE: &str = "Sun, 06 Nov 2033 08:49:37 GMT";
const DATE_SECONDS: f64 = 2_014_879_777.0;

/// Each service, and the folder below which it answers.
fn folder(service: &Service) -> &'static str {
    match service {
        Service::Sts(_) => "/sts",
        Service::Ecr(_) => "/ecr",
        Service::InstanceMetadata => "/imds",
        Service::PodIdentity => "/pods",
        Service::GoogleSts => "/google-sts",
        Service::GoogleIam => "/google-iam",
        Service::GoogleMetadata => "/google-metadata",
        Service::Entra(_) => "/entra",
        Service::AcrExchange(_) => "/acr",
    }
}

pub(crate) type Reply = (StatusCode, String);

#[derive(Default)]
pub(crate) struct Clouds {
    /// Annotations of the ServiceAccount `pusher` in the namespace `team`; none = there is no such account.
    pub(crate) annotations: Option<BTreeMap<String, String>>,
    /// Answers instead of the honest ones, each once: for the next request whose path starts so.
    pub(crate) instead: Vec<(&'static str, Reply)>,
    /// Requests, as `METHOD /path`.
    pub(crate) log: Vec<String>,
    /// Everything that must not be seen.
    pub(crate) secrets: Vec<String>,
    /// Audience of each token of a ServiceAccount.
    tokens: HashMap<String, String>,
    /// Secret of each key of AWS, and its session token.
    keys: HashMap<String, (String, String)>,
    /// The login that the registry takes now.
    pub(crate) login: Arc<Mutex<(String, String)>>,
    /// AWS takes only requests that are signed with the time of its own clock.
    pub(crate) checks_time: bool,
    /// There is no role, service account or identity on the node.
    pub(crate) bare_node: bool,
}

pub(crate) struct CloudDouble {
    address: SocketAddr,
    clouds: Arc<Mutex<Clouds>>,
    server: JoinHandle<()>,
}

impl CloudDouble {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let clouds = Arc::new(Mutex::new(Clouds::default()));
        let router = Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&clouds));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self {
            address,
            clouds,
            server,
        }
    }

    pub(crate) fn endpoints(&self) -> CloudEndpoints {
        let address = self.address;
        CloudEndpoints::doubles(move |service| format!("http://{address}{}", folder(service)))
    }

    pub(crate) fn api_server(&self) -> kube::Client {
        let url = format!("http://{}", self.address);
        let mut config = kube::Config::new(url.parse().unwrap());
        config.default_retry = false;
        kube::Client::try_from(config).unwrap()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, Clouds> {
        self.clouds.lock().unwrap()
    }

    pub(crate) fn annotate(&self, list: &[(&str, &str)]) {
        let pairs = list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        self.state().annotations = Some(pairs.collect());
    }

    /// A token of a ServiceAccount, as kubelet would write it into a file.
    pub(crate) fn token(&self, audience: &str) -> String {
        self.state().make_token(audience)
    }

    /// Requests to a service since the last call.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }
}

impl Drop for CloudDouble {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn handle(
    State(clouds): State<Arc<Mutex<Clouds>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<String> {
    let mut clouds = clouds.lock().unwrap();
    let path = uri.path().to_owned();
    clouds.log.push(format!("{method} {path}"));
    let headers: BTreeMap<String, String> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let lie = clouds
        .instead
        .iter()
        .position(|(start, _)| path.starts_with(start));
    let (status, text) = match lie {
        Some(position) => clouds.instead.remove(position).1,
        None => clouds.answer(&method, &path, &headers, &body),
    };
    Response::builder()
        .status(status)
        .header(header::DATE, DATE)
        .header(header::CONTENT_TYPE, "application/json")
        .body(text)
        .unwrap()
}

fn ok(value: &Value) -> Reply {
    (StatusCode::OK, value.to_string())
}

pub(crate) fn aws_error(status: u16, code: &str, message: &str) -> Reply {
    let status = StatusCode::from_u16(status).unwrap();
    (
        status,
        json!({"__type": code, "message": message}).to_string(),
    )
}

pub(crate) fn sts_error(status: u16, code: &str, message: &str) -> Reply {
    let text = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    <Type>Sender</Type>\n    \
         <Code>{code}</Code>\n    <Message>{message}</Message>\n  </Error>\n  <RequestId>1</RequestId>\n</ErrorResponse>\n"
    );
    (StatusCode::from_u16(status).unwrap(), text)
}

pub(crate) fn oauth_error(status: u16, code: &str, message: &str) -> Reply {
    let status = StatusCode::from_u16(status).unwrap();
    (
        status,
        json!({"error": code, "error_description": message}).to_string(),
    )
}

pub(crate) fn google_error(status: u16, code: &str, message: &str) -> Reply {
    let body = json!({"error": {"code": status, "status": code, "message": message}});
    (StatusCode::from_u16(status).unwrap(), body.to_string())
}

pub(crate) fn acr_error(status: u16, message: &str) -> Reply {
    let body = json!({"errors": [{"code": "UNAUTHORIZED", "message": message}]});
    (StatusCode::from_u16(status).unwrap(), body.to_string())
}

fn form(body: &[u8]) -> HashMap<String, String> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

impl Clouds {
    fn secret(&mut self, kind: &str) -> String {
        let secret = format!("canary-{kind}-{}", self.secrets.len());
        self.secrets.push(secret.clone());
        secret
    }

    /// From now on the registry takes this login and no other.
    pub(crate) fn let_in(&mut self, user: &str, password: &str) {
        *self.login.lock().unwrap() = (user.to_owned(), password.to_owned());
    }

    fn make_token(&mut self, audience: &str) -> String {
        let token = self.secret("sa");
        self.tokens.insert(token.clone(), audience.to_owned());
        token
    }

    fn answer(
        &mut self,
        method: &Method,
        path: &str,
        headers: &BTreeMap<String, String>,
        body: &Bytes,
    ) -> Reply {
        let lost = (StatusCode::NOT_FOUND, "no such page".to_owned());
        let Some((folder, rest)) = path.get(1..).and_then(|path| path.split_once('/')) else {
            return lost;
        };
        match (method.as_str(), folder) {
            (_, "api") => self.api_server(method, rest, body),
            ("POST", "sts") => self.sts(&form(body)),
            ("POST", "ecr") => self.ecr(path, headers, body),
            (_, "imds") => self.instance_metadata(method, rest, headers),
            ("GET", "pods") => {
                let sent = headers.get("authorization");
                if rest != "v1/credentials" || !sent.is_some_and(|t| self.tokens.contains_key(t)) {
                    return (StatusCode::FORBIDDEN, "no association".to_owned());
                }
                self.keys()
            }
            ("POST", "google-sts") => self.google_sts(body),
            ("POST", "google-iam") => self.google_iam(rest, headers),
            ("GET", "google-metadata") => self.google_metadata(rest, headers),
            ("POST", "entra") => self.entra(rest, &form(body)),
            ("POST", "acr") => self.acr(rest, &form(body)),
            _ => lost,
        }
    }

    fn api_server(&mut self, method: &Method, path: &str, body: &Bytes) -> Reply {
        let missing = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound",
            "message": "serviceaccounts \"pusher\" not found", "code": 404});
        let Some(annotations) = self.annotations.clone() else {
            return (StatusCode::NOT_FOUND, missing.to_string());
        };
        let account = "v1/namespaces/team/serviceaccounts/pusher";
        match (method.as_str(), path.strip_prefix(account)) {
            ("GET", Some("")) => ok(&json!({"apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": "pusher", "namespace": "team", "annotations": annotations}})),
            ("POST", Some("/token")) => {
                let request: Value = serde_json::from_slice(body).unwrap();
                let audiences = request["spec"]["audiences"].as_array().unwrap().clone();
                assert_eq!(audiences.len(), 1, "a token for one audience only");
                assert!(request["spec"]["expirationSeconds"].as_i64().unwrap() <= 600);
                let token = self.make_token(audiences[0].as_str().unwrap());
                let ends = "2033-11-06T09:49:37Z";
                ok(
                    &json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {},
                    "spec": request["spec"], "status": {"token": token, "expirationTimestamp": ends}}),
                )
            }
            _ => (StatusCode::NOT_FOUND, missing.to_string()),
        }
    }

    fn sts(&mut self, form: &HashMap<String, String>) -> Reply {
        let given = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        if (given("Action"), given("Version")) != ("AssumeRoleWithWebIdentity", "2011-06-15") {
            return sts_error(400, "InvalidAction", "Could not find operation");
        }
        let session = given("RoleSessionName");
        let is_session = (2..=64).contains(&session.len())
            && session
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@-_".contains(&byte));
        if !is_session {
            return sts_error(400, "ValidationError", "roleSessionName is not valid");
        }
        match self
            .tokens
            .get(given("WebIdentityToken"))
            .map(String::as_str)
        {
            Some("sts.amazonaws.com") if given("RoleArn") == ROLE => {}
            Some("sts.amazonaws.com") => {
                let words = "Not authorized to perform sts:AssumeRoleWithWebIdentity";
                return sts_error(403, "AccessDenied", words);
            }
            _ => return sts_error(400, "InvalidIdentityToken", "Incorrect token audience"),
        }
        let (id, secret, session) = self.make_keys();
        let text = format!(
            "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleWithWebIdentityResult><Audience>sts.amazonaws.com</Audience><Credentials>\
             <AccessKeyId>{id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
             <SessionToken>{session}</SessionToken><Expiration>2033-11-06T09:04:37Z</Expiration></Credentials>\
             </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        );
        (StatusCode::OK, text)
    }

    fn make_keys(&mut self) -> (String, String, String) {
        let id = format!("ASIA{}", self.keys.len());
        let (secret, session) = (self.secret("key"), self.secret("session"));
        let pair = (secret.clone(), session.clone());
        self.keys.insert(id.clone(), pair);
        (id, secret, session)
    }

    fn keys(&mut self) -> Reply {
        let (id, secret, session) = self.make_keys();
        ok(
            &json!({"Code": "Success", "AccessKeyId": id, "SecretAccessKey": secret, "Token": session,
            "Expiration": "2033-11-06T14:49:37Z"}),
        )
    }

    fn ecr(&mut self, path: &str, headers: &BTreeMap<String, String>, body: &Bytes) -> Reply {
        let target = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
        if headers.get("x-amz-target").map(String::as_str) != Some(target) || **body != *b"{}" {
            return aws_error(400, "UnknownOperationException", "");
        }
        let text = headers.get("authorization").cloned().unwrap_or_default();
        let Some(given) = sigv4::parts(&text) else {
            return aws_error(400, "MissingAuthenticationTokenException", "no signature");
        };
        let known = self.keys.get(given.scope[0]);
        let session = headers.get("x-amz-security-token");
        let Some((secret, _)) = known.filter(|(_, known)| session == Some(known)) else {
            let words = "The security token included in the request is invalid.";
            return aws_error(400, "UnrecognizedClientException", words);
        };
        let wanted_scope = ["eu-west-1", "ecr", "aws4_request"];
        let date = headers
            .get("x-amz-date")
            .map(String::as_str)
            .unwrap_or_default();
        if self.checks_time && date != "20331106T084937Z" {
            let words = format!("Signature expired: {date} is now earlier than 20331106T084437Z");
            return aws_error(400, "InvalidSignatureException", &words);
        }
        let arrived = sigv4::Arrived {
            method: "POST",
            path,
            query: "",
            headers,
            body,
        };
        let right = sigv4::signature(&arrived, secret);
        let signs = ["host", "x-amz-date", "x-amz-security-token", "x-amz-target"]
            .iter()
            .all(|name| given.headers.split(';').any(|signed| signed == *name));
        if given.scope[2..] != wanted_scope || !signs || right.as_deref() != Some(given.signature) {
            let words =
                "The request signature we calculated does not match the signature you provided.";
            return aws_error(400, "InvalidSignatureException", words);
        }
        let password = self.secret("ecr");
        self.let_in("AWS", &password);
        let token = STANDARD.encode(format!("AWS:{password}"));
        self.secrets.push(token.clone());
        ok(
            &json!({"authorizationData": [{"authorizationToken": token, "expiresAt": DATE_SECONDS + 43_200.0,
            "proxyEndpoint": "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com"}]}),
        )
    }

    fn instance_metadata(
        &mut self,
        method: &Method,
        path: &str,
        headers: &BTreeMap<String, String>,
    ) -> Reply {
        if method == Method::PUT && path == "latest/api/token" {
            assert!(headers.contains_key("x-aws-ec2-metadata-token-ttl-seconds"));
            let token = self.secret("imds");
            return (StatusCode::OK, token);
        }
        let session = headers.get("x-aws-ec2-metadata-token");
        if !session.is_some_and(|token| self.secrets.contains(token)) {
            return (StatusCode::UNAUTHORIZED, String::new());
        }
        match path.strip_prefix("latest/meta-data/iam/security-credentials/") {
            Some("") if !self.bare_node => (StatusCode::OK, "node-role\n".to_owned()),
            Some("node-role") => self.keys(),
            _ => (StatusCode::NOT_FOUND, "<html>404</html>".to_owned()),
        }
    }

    fn google_sts(&mut self, body: &Bytes) -> Reply {
        let asked: Value = serde_json::from_slice(body).unwrap();
        let token = asked["subjectToken"].as_str().unwrap_or_default();
        let pool = asked["audience"].as_str().unwrap_or_default();
        let audience = self.tokens.get(token).cloned().unwrap_or_default();
        let in_pool = pool == format!("//iam.googleapis.com/{POOL}")
            && audience == format!("https://iam.googleapis.com/{POOL}");
        let in_cluster = pool
            == "identitynamespace:team.svc.id.goog:https://container.googleapis.com/v1/projects/team/locations/europe-west1/clusters/main"
            && audience == "team.svc.id.goog";
        if !in_pool && !in_cluster {
            let words = "The audience in ID Token does not match the expected audience.";
            return oauth_error(400, "invalid_grant", words);
        }
        let access = self.secret("gcp");
        self.let_in("oauth2accesstoken", &access);
        ok(
            &json!({"access_token": access, "expires_in": 3599, "token_type": "Bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}),
        )
    }

    fn google_iam(&mut self, path: &str, headers: &BTreeMap<String, String>) -> Reply {
        let wanted = format!("v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken");
        let sent = headers.get("authorization").map(String::as_str);
        let federated = self.login.lock().unwrap().1.clone();
        let is_ours = sent == Some(format!("Bearer {federated}").as_str());
        if path != wanted || !is_ours {
            let words = "Permission 'iam.serviceAccounts.getAccessToken' denied";
            return google_error(403, "PERMISSION_DENIED", words);
        }
        let access = self.secret("gcp");
        self.let_in("oauth2accesstoken", &access);
        ok(&json!({"accessToken": access, "expireTime": "2033-11-06T09:49:37Z"}))
    }

    fn google_metadata(&mut self, path: &str, headers: &BTreeMap<String, String>) -> Reply {
        if headers.get("metadata-flavor").map(String::as_str) != Some("Google") {
            return (StatusCode::FORBIDDEN, "missing header".to_owned());
        }
        let found = match path.strip_prefix("computeMetadata/v1/") {
            _ if self.bare_node => None,
            Some("project/project-id") => Some("team"),
            Some("instance/attributes/cluster-location") => Some("europe-west1"),
            Some("instance/attributes/cluster-name") => Some("main"),
            Some("instance/service-accounts/default/token") => {
                let access = self.secret("gcp");
                self.let_in("oauth2accesstoken", &access);
                let answer =
                    json!({"access_token": access, "expires_in": 3000, "token_type": "Bearer"});
                return ok(&answer);
            }
            _ => None,
        };
        match found {
            Some(text) => (StatusCode::OK, text.to_owned()),
            None => (StatusCode::NOT_FOUND, "404".to_owned()),
        }
    }

    fn entra(&mut self, path: &str, form: &HashMap<String, String>) -> Reply {
        let given = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        if path != format!("{TENANT}/oauth2/v2.0/token") {
            return oauth_error(400, "invalid_request", "AADSTS90002: Tenant not found.");
        }
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let audience = self.tokens.get(given("client_assertion"));
        let right = given("grant_type") == "client_credentials"
            && given("client_assertion_type") == kind
            && given("scope") == "https://containerregistry.azure.net/.default"
            && audience.is_some_and(|audience| audience == "api://AzureADTokenExchange");
        if given("client_id") != CLIENT || !right {
            let words = "AADSTS700213: No matching federated identity record found for presented assertion.";
            return oauth_error(401, "invalid_client", words);
        }
        let access = self.secret("aad");
        ok(&json!({"access_token": access, "expires_in": 3599, "token_type": "Bearer"}))
    }

    fn acr(&mut self, path: &str, form: &HashMap<String, String>) -> Reply {
        let given = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let right = path == "oauth2/exchange"
            && given("grant_type") == "access_token"
            && given("service") == "team.azurecr.io"
            && given("tenant") == TENANT
            && given("access_token").starts_with("canary-aad-")
            && self.secrets.contains(&given("access_token").to_owned());
        if !right {
            return acr_error(401, "unauthorized client");
        }
        let refresh = self.secret("acr");
        self.let_in("00000000-0000-0000-0000-000000000000", &refresh);
        ok(&json!({"refresh_token": refresh}))
    }
}
