use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Which old versions an environment keeps when somebody cleans up with `floe platform gc`.
///
/// The operator itself never deletes anything. A version is let go when it is neither among the newest
/// (`keepLast`) nor young enough (`keepFor`) nor protected (`protect`). Whatever this says, `gc` keeps what an
/// environment holds now, what a promotion is working on, what a consumer pins, and every record.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retention {
    /// How many of the versions that were promoted last are kept, the current one included. From 1 to 500,
    /// default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 500))]
    pub keep_last: Option<i32>,
    /// How long a version is kept after it was promoted into this environment, however many newer ones there
    /// are: days, hours and minutes, as in `90d`, `36h` or `1d12h`; a day has 24 hours. From 1h to 3650d.
    /// Default: only `keepLast` counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^([0-9]+(d|h|m))+$"))]
    pub keep_for: Option<String>,
    /// Versions that are never deleted: exact (`1.2.3`), range (`>=1.2.0, <2.0.0`), caret (`^1.2.0`), tilde
    /// (`~1.2.0`) or wildcard (`1.2.*`). A pre-release is protected with the version that it leads to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(
            length(min = 1, max = 128),
            regex(
                pattern = r"^(v?[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?|(([<>]=?|[=^~]) *[0-9]+(\.[0-9]+){0,2}([-+][0-9A-Za-z.+-]+)?|[0-9]+(\.[0-9]+)?\.\*|\*)( *, *(([<>]=?|[=^~]) *[0-9]+(\.[0-9]+){0,2}([-+][0-9A-Za-z.+-]+)?|[0-9]+(\.[0-9]+)?\.\*|\*))*)$"
            )
        ),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub protect: Vec<String>,
}
