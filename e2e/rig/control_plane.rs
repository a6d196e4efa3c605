//! A control plane without nodes and controllers: etcd and kube-apiserver as processes of the host.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ObjectMeta, PostParams};
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use crate::certificates::{Authority, key_pair};
use crate::process::{Process, free_address, tool};
use crate::wait::seconds;

/// Who talks to the API server. The token is the name; the API server knows it as [`Identity::user`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// May do everything.
    Admin,
    /// The operator.
    Operator,
    /// A person who may do everything in promotion spaces.
    Alice,
    /// Another one.
    Bob,
    /// Stands in for the Job controller.
    JobController,
    /// Stands in for the node that runs Pods.
    Node,
    /// The hand of the rig: does what no admission policy lets happen, such as turning back the time in a status.
    Hand,
}

/// etcd and kube-apiserver. They end when this is dropped.
pub struct ControlPlane {
    /// `https://127.0.0.1:port`
    pub url: String,
    /// Certificate authority, as PEM.
    pub authority: String,
    audit_log: PathBuf,
    _etcd: Process,
    _api_server: Process,
}

impl Identity {
    const ALL: [Self; 7] = [
        Self::Admin,
        Self::Operator,
        Self::Alice,
        Self::Bob,
        Self::JobController,
        Self::Node,
        Self::Hand,
    ];

    /// The bearer token.
    pub fn token(self) -> &'static str {
        match self {
            Self::Admin => "token-of-admin",
            Self::Operator => "token-of-operator",
            Self::Alice => "token-of-alice",
            Self::Bob => "token-of-bob",
            Self::JobController => "token-of-job-controller",
            Self::Node => "token-of-node",
            Self::Hand => "token-of-hand",
        }
    }

    /// The name under which the API server knows it.
    pub fn user(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "system:serviceaccount:floe-system:floe",
            Self::Alice => "alice",
            Self::Bob => "bob",
            Self::JobController => "system:serviceaccount:kube-system:job-controller",
            Self::Node => "system:node:rig",
            Self::Hand => "hand-of-the-rig",
        }
    }

    fn groups(self) -> &'static str {
        match self {
            Self::Admin | Self::Hand => "system:masters",
            Self::Node => "system:nodes",
            Self::Operator => "system:serviceaccounts,system:serviceaccounts:floe-system",
            Self::Alice | Self::Bob => "people",
            Self::JobController => {
                "system:serviceaccounts,system:serviceaccounts:kube-system,system:masters"
            }
        }
    }
}

impl ControlPlane {
    /// Starts both in this folder and waits until the API server is ready (about 3 s).
    pub async fn start(folder: &Path) -> Self {
        let folder = folder.join("control-plane");
        std::fs::create_dir_all(&folder).expect("make a folder");
        let (etcd, etcd_url) = start_etcd(&folder).await;
        let authority = Authority::new("rig");
        let audit_log = folder.join("audit.log");
        let address = free_address();
        let args = api_server_args(&folder, &authority, &etcd_url, address.port(), &audit_log);
        let log = folder.join("kube-apiserver.log");
        let mut api_server = Process::start(&tool("kube-apiserver"), &args, &[], &log);
        let url = format!("https://{address}");
        let authority = authority.pem();
        let http = http_client(&authority);
        let ready = format!("{url}/readyz");
        api_server
            .until_ready(seconds(60), async || {
                let request = http.get(&ready).bearer_auth(Identity::Admin.token()).send();
                request
                    .await
                    .is_ok_and(|answer| answer.status().is_success())
            })
            .await;
        Self {
            url,
            authority,
            audit_log,
            _etcd: etcd,
            _api_server: api_server,
        }
    }

    /// A client that talks to the API server directly.
    pub async fn client(&self, identity: Identity) -> Client {
        self.client_of(&self.url, identity).await
    }

    /// A client that talks to this address.
    pub async fn client_of(&self, server: &str, identity: Identity) -> Client {
        let config = self.config(server, identity).await;
        Client::try_from(config).expect("make a client")
    }

    /// Makes a namespace.
    pub async fn namespace(&self, name: &str) {
        let api: Api<Namespace> = Api::all(self.client(Identity::Admin).await);
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        };
        let namespace = Namespace {
            metadata,
            ..Namespace::default()
        };
        api.create(&PostParams::default(), &namespace)
            .await
            .expect("make a namespace");
    }

    /// What the API server has written down of the requests that this user made: one line each, by the id
    /// that the proxy gave the request.
    pub fn audited(&self, identity: Identity) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.audit_log).unwrap_or_default();
        let user = format!("\"username\":\"{}\"", identity.user());
        text.lines()
            // Everybody's requests are in it: reading all of them would take longer than a test waits.
            .filter(|line| line.contains(&user))
            // The last line may be half written.
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| event["user"]["username"] == identity.user())
            .collect()
    }

    /// A kubeconfig for this identity against a server at this address.
    pub fn kubeconfig(&self, server: &str, identity: Identity) -> Value {
        let mut cluster = json!({ "server": server });
        if server.starts_with("https") {
            cluster["certificate-authority-data"] = base64(self.authority.as_bytes()).into();
        }
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "rig", "cluster": cluster }],
            "users": [{ "name": "rig", "user": { "token": identity.token() } }],
            "contexts": [{ "name": "rig", "context": { "cluster": "rig", "user": "rig" } }],
            "current-context": "rig",
        })
    }

    async fn config(&self, server: &str, identity: Identity) -> Config {
        let kubeconfig =
            serde_json::from_value(self.kubeconfig(server, identity)).expect("a good kubeconfig");
        let options = KubeConfigOptions::default();
        Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .expect("a good kubeconfig")
    }
}

/// An HTTP client that trusts this authority only.
pub fn http_client(authority: &str) -> reqwest::Client {
    let root = reqwest::Certificate::from_pem(authority.as_bytes()).expect("a good certificate");
    reqwest::Client::builder()
        .tls_certs_only([root])
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("make an HTTP client")
}

async fn start_etcd(folder: &Path) -> (Process, String) {
    let (client, peer) = (
        format!("http://{}", free_address()),
        format!("http://{}", free_address()),
    );
    let args = [
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    let mut etcd = Process::start(&tool("etcd"), &args, &[], &folder.join("etcd.log"));
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("make an HTTP client");
    let health = format!("{client}/health");
    etcd.until_ready(seconds(30), async || {
        http.get(&health)
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    (etcd, client)
}

fn api_server_args(
    folder: &Path,
    authority: &Authority,
    etcd: &str,
    port: u16,
    audit_log: &Path,
) -> Vec<String> {
    let file = |name: &str, content: &str| {
        let path = folder.join(name);
        std::fs::write(&path, content).expect("write a file");
        path.display().to_string()
    };
    let serving = authority.for_loopback();
    let (private, public) = key_pair();
    let tokens: Vec<String> = Identity::ALL
        .iter()
        .map(|who| {
            format!(
                "{},{},{},\"{}\"",
                who.token(),
                who.user(),
                who.user(),
                who.groups()
            )
        })
        .collect();
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
        "omitStages": ["RequestReceived"], "rules": [{ "level": "Metadata" }],
    });
    [
        ("etcd-servers", etcd.to_owned()),
        ("bind-address", "127.0.0.1".to_owned()),
        ("advertise-address", "127.0.0.1".to_owned()),
        ("secure-port", port.to_string()),
        // It would look for an address of the machine that is not loopback.
        ("endpoint-reconciler-type", "none".to_owned()),
        ("service-cluster-ip-range", "10.96.0.0/16".to_owned()),
        ("client-ca-file", file("ca.crt", &authority.pem())),
        ("tls-cert-file", file("serving.crt", &serving.certificate)),
        ("tls-private-key-file", file("serving.key", &serving.key)),
        ("token-auth-file", file("tokens.csv", &tokens.join("\n"))),
        ("authorization-mode", "Node,RBAC".to_owned()),
        // Nobody makes the ServiceAccount 'default' here.
        ("disable-admission-plugins", "ServiceAccount".to_owned()),
        ("service-account-issuer", "https://rig.invalid".to_owned()),
        (
            "service-account-key-file",
            file("service-account.pub", &public),
        ),
        (
            "service-account-signing-key-file",
            file("service-account.key", &private),
        ),
        (
            "audit-policy-file",
            file("audit-policy.json", &policy.to_string()),
        ),
        ("audit-log-path", audit_log.display().to_string()),
    ]
    .into_iter()
    .map(|(flag, value)| format!("--{flag}={value}"))
    .collect()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
