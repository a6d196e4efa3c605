use k8s_openapi::api::batch::v1::Job;
use kube::api::PostParams;
use kube::{Api, Client};

/// What came of creating a Job.
#[derive(Clone, Debug)]
pub enum Started {
    /// It is there: made now, or found under its name. Whose it is, the caller checks.
    There(Box<Job>),
    /// The API server refused it for good, and why: a quota, Pod Security, an admission policy.
    Refused(String),
}

/// Creates a Job, or finds the one of that name.
pub async fn start(client: &Client, namespace: &str, job: &Job) -> kube::Result<Started> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    match jobs.create(&PostParams::default(), job).await {
        Ok(created) => Ok(Started::There(Box::new(created))),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let name = job.metadata.name.as_deref().unwrap_or_default();
            jobs.get(name)
                .await
                .map(|found| Started::There(Box::new(found)))
        }
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422) => {
            Ok(Started::Refused(status.message.clone()))
        }
        Err(error) => Err(error),
    }
}
