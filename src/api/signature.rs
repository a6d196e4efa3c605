use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose signature an artifact must carry.
///
/// Signatures are looked up beside the artifact, on the digest that is promoted: Sigstore bundles in its referrers,
/// and those under the tag `sha256-….sig`. What counts is what `cosign sign` makes of an artifact. Attestations, such
/// as an SBOM, are no signatures, whoever signed them. One signature by one of the keys or identities is enough.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.mode == 'Off' || (has(self.keys) && self.keys.size() > 0) || (has(self.keyless) && self.keyless.size() > 0)")
        .message("say whose signatures count: at least one of keys and keyless"),
    validation = Rule::new("!has(self.trustedRoot) || (has(self.keyless) && self.keyless.size() > 0)")
        .message("trustedRoot is for keyless signatures: leave it out, or add keyless"),
)]
pub struct Signature {
    /// `Enforce`: without a signature that counts, nothing is promoted (`SignatureInvalid`), and no gate is started.
    /// `Warn`: it is promoted, and the condition `SourceVerified` and the record say that no signature counts.
    /// `"Off"`: nobody looks. Write it in quotes: without them, YAML takes it for `false`.
    pub mode: SignatureMode,
    /// Public keys whose signatures count. A transparency log is not asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub keys: Vec<TrustSource>,
    /// Identities whose keyless signatures count: a certificate of the trusted root's authority, in a certificate
    /// log, and a signature that its transparency log knows from the time when the certificate was valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub keyless: Vec<Keyless>,
    /// The certificate authorities and logs of keyless signatures: a Sigstore `trusted_root.json`. Default: the one
    /// of the public Sigstore instance that is built into the operator. floe never fetches one, so that it works
    /// without a way to the internet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_root: Option<TrustSource>,
}

/// What becomes of an artifact without a signature that counts.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignatureMode {
    /// Nobody looks.
    #[default]
    Off,
    /// It is promoted, and said so.
    Warn,
    /// It is not promoted.
    Enforce,
}

/// A key of a ConfigMap or Secret in the policy's namespace: one of the two. Who names a Secret must be allowed to
/// read it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.secretName) != has(self.configMapName)")
        .message("name either a Secret or a ConfigMap"),
)]
pub struct TrustSource {
    /// Name of the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub secret_name: Option<String>,
    /// Name of the ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub config_map_name: Option<String>,
    /// Key in it, such as `cosign.pub`: a public key in PEM (ECDSA P-256, P-384 or RSA), or for
    /// `trustedRoot` the JSON of a trusted root.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// Somebody, or something, that signs without a key of their own. Issuer and identity must both fit.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.identity) != has(self.identityPattern)")
        .message("give either identity or identityPattern"),
    validation = Rule::new("!has(self.identityPattern) || (self.identityPattern.startsWith('^') && self.identityPattern.endsWith('$'))")
        .message("identityPattern must be anchored: begin with '^' and end with '$'"),
)]
pub struct Keyless {
    /// Who vouches for the identity, exactly as in the certificate: `https://token.actions.githubusercontent.com`.
    #[schemars(length(min = 8, max = 512), regex(pattern = r"^https?://[^ ]+$"))]
    pub issuer: String,
    /// The identity, exactly as in the certificate: a mail address, or the address of a workflow such as
    /// `https://github.com/team/app/.github/workflows/release.yml@refs/heads/main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub identity: Option<String>,
    /// A regular expression that fits the whole identity. Escape its dots:
    /// `^https://github\.com/team/app/\.github/workflows/release\.yml@refs/tags/v[0-9.]+$`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 1024))]
    pub identity_pattern: Option<String>,
}
