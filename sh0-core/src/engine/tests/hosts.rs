//! A host name belongs to one app.

use super::{Engine, open_shop};
use crate::Code;
use crate::model::AppId;
use crate::ops::apps::UpdateApp;
use crate::ops::domains::AddDomain;
use crate::testkit::fakes::{World, app, call};

async fn add(engine: &Engine, to: AppId, host: &str, path: Option<&str>) -> crate::Result<()> {
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
    ];
    for error in refused.map(Result::unwrap_err) {
        assert!(error.code() == Code::Conflict && error.detail().contains("the app `shop`"), "{error:?}");
    }
    add(&engine, shop, "news.localhost", None).await.unwrap();
    let refused = [call(&engine, app("news")).await.map(drop), call(&engine, rename(blog, "news")).await.map(drop)];
    for error in refused.map(Result::unwrap_err) {
        assert!(error.code() == Code::Conflict && error.detail().contains("the app `shop`"), "{error:?}");
    }
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
    drop(engine);
    world.config.base_domain = "example.com".to_owned();
    let engine = world.open().await.unwrap();
    world.settle(&engine).await;
    assert_eq!(owners(&world, "shop.example.com"), [shop]);
}
