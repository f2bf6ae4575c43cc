//! An app's own host is its alone; any other may be shared by path.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Engine, open_shop};
use crate::model::AppId;
use crate::ops::apps::{CreateApp, UpdateApp};
use crate::ops::domains::AddDomain;
use crate::ops::projects::CreateProject;
use crate::testkit::fakes::{FakeStore, World, app, call};
use crate::traits::{Batch, Entry, Kind, Query, Record, Store};
use crate::{Code, Result};

async fn add(engine: &Engine, to: AppId, host: &str, path: Option<&str>) -> Result<()> {
    let path = path.map(|path| path.parse().unwrap());
    call(engine, AddDomain { app: to.into(), host: host.parse().unwrap(), path }).await.map(drop)
}

fn rename(app: AppId, name: &str) -> UpdateApp {
    UpdateApp { app: app.into(), name: Some(name.parse().unwrap()), port: None, source: None, settings: None }
}

fn owners(world: &World, host: &str) -> Vec<AppId> {
    let routes = world.proxy.table().routes.into_iter();
    routes.filter(|route| route.host.as_str() == host && route.path.is_none()).map(|route| route.app).collect()
}

#[tokio::test(start_paused = true)]
async fn of_another_app_it_is_refused() {
    let (world, engine) = open_shop().await;
    let shop = super::seen(&world, &engine).await.id;
    let blog = call(&engine, app("blog")).await.unwrap().id;
    let refused = [
        add(&engine, blog, "shop.localhost", None).await,
        add(&engine, shop, "shop.localhost", None).await,
        add(&engine, blog, "Shop.Localhost", Some("/")).await,
        add(&engine, blog, "shop.localhost", Some("/api")).await,
        add(&engine, shop, "shop.localhost", Some("/api")).await,
    ];
    for error in refused.map(Result::unwrap_err) {
        assert!(error.code() == Code::Conflict && error.detail().contains("the app `shop`"), "{error:?}");
    }
    add(&engine, shop, "news.localhost", None).await.unwrap();
    add(&engine, shop, "docs.localhost", Some("/api")).await.unwrap();
    for (name, taken) in [("news", "news.localhost leads"), ("docs", "docs.localhost/api leads")] {
        let refused = [call(&engine, app(name)).await.map(drop), call(&engine, rename(blog, name)).await.map(drop)];
        for error in refused.map(Result::unwrap_err) {
            let said = error.detail().contains(taken) && error.detail().contains("the app `shop`");
            assert!(error.code() == Code::Conflict && said, "{error:?}");
        }
    }
    // What it has already is no other's.
    call(&engine, rename(shop, "docs")).await.unwrap();
    call(&engine, rename(shop, "shop")).await.unwrap();
    add(&engine, shop, "example.com", None).await.unwrap();
    let error = add(&engine, blog, "example.com", None).await.unwrap_err();
    assert!(error.detail().contains("the app `shop`"), "{error:?}");
    world.settle(&engine).await;
    assert_eq!(owners(&world, "shop.localhost"), [shop]);
    assert_eq!(owners(&world, "blog.localhost"), [blog]);
    assert_eq!(owners(&world, "news.localhost"), [shop]);
}

/// A store may say otherwise: from before, or because the platform's own suffix was changed.
#[tokio::test(start_paused = true)]
async fn an_own_host_leads_to_its_app_whatever_is_stored() {
    let (mut world, engine) = open_shop().await;
    let shop = super::seen(&world, &engine).await.id;
    let blog = call(&engine, app("blog")).await.unwrap().id;
    add(&engine, blog, "shop.example.com", None).await.unwrap();
    add(&engine, blog, "shop.example.com", Some("/api")).await.unwrap();
    drop(engine);
    world.config.base_domain = "example.com".to_owned();
    let engine = world.open().await.unwrap();
    world.settle(&engine).await;
    assert_eq!(owners(&world, "shop.example.com"), [shop]);
    assert!(
        !world.proxy.table().routes.iter().any(|route| route.host.as_str() == "shop.example.com" && route.app == blog)
    );
}

#[tokio::test(start_paused = true)]
async fn a_host_of_nobody_may_be_shared_by_path() {
    let (world, engine) = open_shop().await;
    let shop = super::seen(&world, &engine).await.id;
    let blog = call(&engine, app("blog")).await.unwrap().id;
    add(&engine, shop, "example.com", None).await.unwrap();
    add(&engine, blog, "example.com", Some("/blog")).await.unwrap();
    let error = add(&engine, shop, "example.com", Some("/blog/")).await.unwrap_err();
    assert!(error.code() == Code::Conflict && error.detail().contains("the app `blog`"), "{error:?}");
    world.settle(&engine).await;
    let routes = world.proxy.table().routes.into_iter().filter(|route| route.host.as_str() == "example.com");
    let routes: Vec<_> = routes.map(|route| (route.path.map(String::from), route.app)).collect();
    assert_eq!(routes, [(None, shop), (Some("/blog".to_owned()), blog)]);
}

#[tokio::test(start_paused = true)]
async fn an_app_of_another_project_is_named_with_it() {
    let (_world, engine) = open_shop().await;
    call(&engine, CreateProject { name: "team".parse().unwrap() }).await.unwrap();
    let create = CreateApp { project: "team".parse().unwrap(), ..app("wiki") };
    let wiki = call(&engine, create).await.unwrap().id;
    let blog = call(&engine, app("blog")).await.unwrap().id;
    let error = add(&engine, blog, "wiki.team.localhost", Some("/api")).await.unwrap_err();
    assert!(error.detail().contains("the app `team/wiki`"), "{error:?}");
    add(&engine, wiki, "wiki.localhost", Some("/x")).await.unwrap();
    let error = call(&engine, app("wiki")).await.unwrap_err();
    assert!(error.detail().contains("the app `team/wiki`"), "{error:?}");
}

/// Lets others run before each of its calls.
struct Turns(FakeStore);

#[async_trait]
impl Store for Turns {
    fn name(&self) -> String {
        self.0.name()
    }
    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Record>> {
        tokio::task::yield_now().await;
        self.0.get(kind, id).await
    }
    async fn find(&self, kind: Kind, unique: &str) -> Result<Option<Record>> {
        tokio::task::yield_now().await;
        self.0.find(kind, unique).await
    }
    async fn list(&self, query: &Query) -> Result<Vec<Record>> {
        tokio::task::yield_now().await;
        self.0.list(query).await
    }
    async fn commit(&self, batch: Batch) -> Result<u64> {
        tokio::task::yield_now().await;
        self.0.commit(batch).await
    }
    async fn read(&self, stream: &str, after: u64, limit: usize) -> Result<Vec<Entry>> {
        self.0.read(stream, after, limit).await
    }
    async fn claim(&self) -> Result<u64> {
        self.0.claim().await
    }
    fn watch(&self) -> watch::Receiver<u64> {
        self.0.watch()
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_who_want_it_at_once_one_gets_it() {
    let world = World::over(Arc::new(Turns(FakeStore::default())));
    let engine = world.open().await.unwrap();
    let blog = call(&engine, app("blog")).await.unwrap().id;
    let news = call(&engine, app("news")).await.unwrap().id;
    let (created, added) = tokio::join!(call(&engine, app("wiki")), add(&engine, blog, "wiki.localhost", Some("/x")));
    let (renamed, shared) =
        tokio::join!(call(&engine, rename(news, "docs")), add(&engine, blog, "docs.localhost", None));
    for (own, domain) in [(created.map(drop), added), (renamed.map(drop), shared)] {
        let refused = match (own, domain) {
            (Ok(()), Err(refused)) | (Err(refused), Ok(())) => refused,
            both => panic!("{both:?}"),
        };
        assert_eq!(refused.code(), Code::Conflict);
        assert!(refused.detail().contains("the app `"), "told as if one had come after the other: {refused:?}");
    }
}
