//! Images that were pulled, not built.

use super::*;

#[tokio::test]
async fn a_pulled_image_goes_with_the_last_app_that_holds_it() {
    let Some(bench) = Bench::new().await else { return };
    let Some(other) = Bench::new().await else { return };
    // An image of its own, under a name that no registry has.
    let context = format!("FROM {}\nENV OF={}\n", bench.image, bench.app);
    let name = format!("127.0.0.1:1/shop/web:{}", bench.app);
    let image: ImageRef = name.parse().unwrap();
    other.image_from(&context, &name).await;
    let pulled = bench.runtime.pull(&image, &NoOutput).await.unwrap();
    assert_eq!(pulled.image.as_ref(), Some(&image));
    assert_eq!(bench.runtime.list_artifacts(bench.app).await.unwrap(), [], "nobody needs it yet");
    for user in [&bench, &other] {
        let one = user.up(&user.spec(&pulled, 0, "true")).await;
        user.runtime.wait(&one).await.unwrap();
        let held = user.runtime.list_artifacts(user.app).await.unwrap();
        assert!(held.iter().any(|held| held.id == pulled.id), "{held:?}");
    }
    bench.runtime.remove_artifact(&pulled).await.unwrap();
    bench.clean().await;
    assert!(bench.runtime.has_artifact(&pulled).await.unwrap(), "the other app holds it");

    // Somebody's own container uses it: it stays, under the name that it came with.
    let foreign =
        ContainerSpec { image: pulled.id.clone(), cmd: Some(vec!["true".into()]), ..ContainerSpec::default() };
    let foreign = bench.client.create_container(None, &foreign).await.unwrap().id;
    other.clean().await;
    assert!(bench.client.inspect_image(&name).await.is_ok(), "without force");
    bench.client.remove_container(&foreign, RemoveContainer { force: true, volumes: true }).await.unwrap();

    let one = other.up(&other.spec(&pulled, 1, "true")).await;
    other.runtime.wait(&one).await.unwrap();
    other.clean().await;
    assert!(!bench.runtime.has_artifact(&pulled).await.unwrap(), "nobody needs it");
    assert!(bench.client.inspect_image(&name).await.unwrap_err().is_not_found());
}

impl Bench {
    /// An image without labels of the platform.
    async fn image_from(&self, dockerfile: &str, name: &str) {
        use sh0_docker::client::BuildOptions;
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(dockerfile.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, "Dockerfile", dockerfile.as_bytes()).unwrap();
        let context = futures_util::stream::iter([Ok(bytes::Bytes::from(archive.into_inner().unwrap()))]);
        let options = BuildOptions { tags: vec![name.to_owned()], ..BuildOptions::default() };
        self.client.build_image(&options, context).await.unwrap().finish().await.unwrap();
    }
}
