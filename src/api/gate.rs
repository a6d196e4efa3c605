use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A check that runs as a Kubernetes Job before a version enters the environment.
///
/// The Job's Pod first fetches the artifact by digest into `$FLOE_ARTIFACT_DIR`, then runs `command`
/// in `image`. Exit code 0 is Passed, any other is Failed. A gate that could not be run is Error, one
/// that exceeded `timeout` is TimedOut; neither of them passes.
///
/// The command finds these environment variables: `FLOE_ARTIFACT`, `FLOE_VERSION`, `FLOE_DIGEST`,
/// `FLOE_REFERENCE` (repository@digest), `FLOE_FROM`, `FLOE_TO`, `FLOE_PROMOTION`, `FLOE_ARTIFACT_DIR`.
/// `$(NAME)` in `command`, `args` and `env` is replaced by Kubernetes.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("!has(self.timeout) || (duration(self.timeout) >= duration('30s') && duration(self.timeout) <= duration('1h'))")
        .message("timeout must be from 30s to 1h"),
    validation = Rule::new("!has(self.startTimeout) || (duration(self.startTimeout) >= duration('30s') && duration(self.startTimeout) <= duration('1h'))")
        .message("startTimeout must be from 30s to 1h"),
)]
pub struct Gate {
    /// Name of the gate, unique in the policy: lower-case letters, digits and `-`, at most 40 characters.
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// What kind of check it is. It names the gate in the record; both kinds are judged by exit code.
    /// The mandatory gate `policy_compliance` is not listed here: it runs in every environment.
    #[serde(rename = "type")]
    pub gate_type: GateType,
    /// Image in which the command runs. Name it by digest to be sure what judged the artifact.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// Program and its first arguments. It is started directly, not through a shell, and must be given:
    /// the image's own entry point is not used.
    #[schemars(length(min = 1, max = 32), inner(length(max = 4096)))]
    pub command: Vec<String>,
    /// Further arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub args: Vec<String>,
    /// Further environment variables. Names that start with `FLOE_` belong to floe and are refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<EnvVar>,
    /// What happens when the gate does not pass: `Block` (default) fails the promotion, `Warn` lets it
    /// go on and shows the outcome as Warned. A gate that could not be run (Error) or was too slow
    /// (TimedOut) is Warned in the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// How long the command may run, from its start, as in `90s` or `10m`. From 30s to 1h, default 5m.
    /// Then it gets TERM, and KILL after 5 more seconds, and the gate is TimedOut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^([0-9]+(s|m|h))+$"))]
    pub timeout: Option<String>,
    /// How long the Pod may take to start (scheduling, pulling the image, fetching the artifact).
    /// From 30s to 1h, default 5m. Then the gate is Error. An image that cannot be pulled is Error after 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^([0-9]+(s|m|h))+$"))]
    pub start_timeout: Option<String>,
    /// User id under which the command runs, not 0. Default 65532.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_294_967_294_i64))]
    pub run_as_user: Option<i64>,
    /// Memory and processor time for the command. Default: 100m and 128Mi requested, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// Kind of check.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GateType {
    /// A test suite.
    Tests,
    /// Any other check.
    Custom,
}

/// What a gate that did not pass does to the promotion.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// The promotion fails.
    #[default]
    Block,
    /// The promotion goes on; the outcome is Warned.
    Warn,
}

/// One environment variable with a literal value.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("!self.name.startsWith('FLOE_')").message("names that start with FLOE_ belong to floe")
)]
pub struct EnvVar {
    /// Name of the variable.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$")
    )]
    pub name: String,
    /// Its value.
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// Memory and processor time, as Kubernetes quantities.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// Processor time requested, such as `500m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?m?$"))]
    pub cpu: Option<String>,
    /// Memory requested, and the limit above which the command is killed, such as `512Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 32),
        regex(pattern = r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|k|M|G)?$")
    )]
    pub memory: Option<String>,
}
