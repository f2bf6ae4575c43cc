//! The frameworks that are known, by the dependency that gives them away.

/// A framework.
pub(crate) struct Framework {
    pub(super) name: &'static str,
    /// Any of these marks it.
    pub(super) dependencies: &'static [&'static str],
    /// Builds where no script does.
    pub(super) build: Option<&'static str>,
    /// Where its pages are written, when pages are all it makes.
    pub(super) folder: Option<&'static str>,
    /// One page answers for all addresses.
    pub(super) spa: bool,
    /// First words of a `start` script that runs a development server.
    pub(super) dev: &'static [&'static str],
    /// Starts what it built, where no script does: what must be among the dependencies, and the command.
    pub(super) start: &'static [(&'static str, &'static str)],
    /// Its server imports what `devDependencies` hold.
    pub(super) keeps_dev: bool,
}

/// A framework that answers requests itself.
const fn server(name: &'static str, dependencies: &'static [&'static str]) -> Framework {
    Framework { name, dependencies, build: None, folder: None, spa: false, dev: &[], start: &[], keeps_dev: false }
}

/// A framework that builds a server out of pages.
const fn builds(
    name: &'static str,
    dependencies: &'static [&'static str],
    build: Option<&'static str>,
    start: &'static [(&'static str, &'static str)],
) -> Framework {
    Framework { name, dependencies, build, folder: None, spa: false, dev: &[], start, keeps_dev: true }
}

/// A generator of many pages.
const fn pages(
    name: &'static str,
    dependencies: &'static [&'static str],
    build: Option<&'static str>,
    folder: &'static str,
    dev: &'static [&'static str],
) -> Framework {
    Framework { name, dependencies, build, folder: Some(folder), spa: false, dev, start: &[], keeps_dev: true }
}

/// A bundler of one page.
const fn spa(
    name: &'static str,
    dependencies: &'static [&'static str],
    build: Option<&'static str>,
    folder: &'static str,
    dev: &'static [&'static str],
) -> Framework {
    Framework { spa: true, ..pages(name, dependencies, build, folder, dev) }
}

const NITRO: &str = "node .output/server/index.mjs";

/// The more a framework decides, the earlier it stands: Blitz brings Next.js, Nuxt brings Vite, Nest brings Express.
pub(super) const FRAMEWORKS: &[Framework] = &[
    // Servers made out of pages.
    builds("blitzjs", &["blitz"], Some("blitz build"), &[("blitz", "blitz start")]),
    builds("redwoodjs", &["@redwoodjs/core"], Some("rw build"), &[("@redwoodjs/core", "rw serve")]),
    Framework { keeps_dev: false, ..builds("next", &["next"], Some("next build"), &[("next", "next start")]) },
    Framework {
        keeps_dev: false,
        ..builds("nuxt", &["nuxt", "nuxt3", "nuxt-edge", "nuxt-nightly"], Some("nuxt build"), &[])
    },
    builds("sveltekit", &["@sveltejs/kit"], Some("vite build"), &[]),
    builds("hydrogen", &["@shopify/hydrogen"], Some("shopify hydrogen build"), &[]),
    builds(
        "solidstart",
        &["@solidjs/start", "solid-start"],
        Some("vinxi build"),
        &[("@solidjs/start", NITRO), ("solid-start", "solid-start start")],
    ),
    builds(
        "tanstack-start",
        &["@tanstack/react-start", "@tanstack/solid-start", "@tanstack/start"],
        Some("vite build"),
        &[],
    ),
    builds(
        "react-router",
        &["@react-router/dev"],
        Some("react-router build"),
        &[("@react-router/serve", "react-router-serve ./build/server/index.js")],
    ),
    builds(
        "remix",
        &["@remix-run/dev"],
        Some("remix vite:build"),
        &[("@remix-run/serve", "remix-serve ./build/server/index.js")],
    ),
    builds(
        "analog",
        &["@analogjs/platform"],
        Some("vite build"),
        &[("@analogjs/platform", "node dist/analog/server/index.mjs")],
    ),
    builds("qwik", &["@builder.io/qwik-city", "@qwik.dev/router"], None, &[]),
    builds("fresh", &["@fresh/core"], Some("vite build"), &[]),
    builds("waku", &["waku"], Some("waku build"), &[("waku", "waku start")]),
    Framework { dev: &["astro"], ..pages("astro", &["astro"], Some("astro build"), "dist", &["astro"]) },
    // Generators of pages.
    pages("gatsby", &["gatsby"], Some("gatsby build"), "public", &["gatsby"]),
    pages("docusaurus", &["@docusaurus/core"], Some("docusaurus build"), "build", &["docusaurus"]),
    pages("docusaurus", &["docusaurus"], Some("docusaurus-build"), "build", &["docusaurus-start"]),
    pages("vuepress", &["vuepress"], Some("vuepress build"), ".vuepress/dist", &["vuepress"]),
    pages("vitepress", &["vitepress"], Some("vitepress build"), ".vitepress/dist", &["vitepress"]),
    pages("eleventy", &["@11ty/eleventy"], Some("eleventy"), "_site", &["eleventy"]),
    pages("hugo", &["hugo-extended", "hugo-bin"], Some("hugo --gc --minify"), "public", &["hugo"]),
    pages("hexo", &["hexo"], Some("hexo generate"), "public", &["hexo"]),
    pages("gridsome", &["gridsome"], Some("gridsome build"), "dist", &["gridsome"]),
    pages("metalsmith", &["metalsmith"], None, "build", &[]),
    pages("sapper", &["sapper"], Some("sapper export"), "__sapper__/export", &["sapper"]),
    pages("saber", &["saber"], Some("saber build"), "public", &["saber"]),
    pages("mintlify", &["mintlify"], None, "dist", &["mintlify"]),
    // Bundlers of one page, with a command line of their own.
    spa("umijs", &["umi", "@umijs/max"], Some("umi build"), "dist", &["umi", "max"]),
    spa("ember", &["ember-cli", "ember-source"], Some("ember build --environment=production"), "dist", &["ember"]),
    spa("brunch", &["brunch"], Some("brunch build --production"), "public", &["brunch"]),
    spa("preact", &["preact-cli"], Some("preact build"), "build", &["preact"]),
    spa("polymer", &["polymer-cli"], Some("polymer build"), "build/default", &["polymer"]),
    spa("stencil", &["@stencil/core"], Some("stencil build"), "www", &["stencil"]),
    spa("sanity", &["@sanity/cli", "sanity"], Some("sanity build"), "dist", &["sanity"]),
    spa("dojo", &["@dojo/framework", "@dojo/cli"], Some("dojo build"), "output/dist", &["dojo"]),
    spa("ionic-angular", &["@ionic/angular"], Some("ng build"), "www", &["ng", "ionic"]),
    spa("angular", &["@angular/core"], Some("ng build"), "dist", &["ng"]),
    spa("ionic-react", &["@ionic/react"], None, "dist", &["vite", "react-scripts", "ionic"]),
    spa(
        "cra",
        &["react-scripts", "react-app-rewired", "@craco/craco"],
        Some("react-scripts build"),
        "build",
        &["react-scripts", "craco", "react-app-rewired"],
    ),
    spa("vue", &["@vue/cli-service"], Some("vue-cli-service build"), "dist", &["vue-cli-service"]),
    // Platforms of agents and content.
    builds("mastra", &["mastra", "@mastra/core"], Some("mastra build"), &[("mastra", "node .mastra/output/index.mjs")]),
    builds("xmcp", &["xmcp"], Some("xmcp build"), &[("xmcp", "node dist/http.js")]),
    builds("strapi", &["@strapi/strapi"], Some("strapi build"), &[("@strapi/strapi", "strapi start")]),
    builds("medusa", &["@medusajs/medusa"], Some("medusa build"), &[("@medusajs/medusa", "medusa start")]),
    builds("directus", &["directus"], None, &[("directus", "directus start")]),
    builds("keystone", &["@keystone-6/core"], Some("keystone build"), &[("@keystone-6/core", "keystone start")]),
    builds("adonisjs", &["@adonisjs/core"], Some("node ace build"), &[("@adonisjs/core", "node build/bin/server.js")]),
    spa("expo", &["expo"], Some("expo export --platform web"), "dist", &["expo"]),
    // Servers.
    server("nestjs", &["@nestjs/core"]),
    server("meteor", &["meteor-node-stubs"]),
    builds("nitro", &["nitropack", "nitro"], Some("nitro build"), &[("nitropack", NITRO), ("nitro", NITRO)]),
    server("elysia", &["elysia"]),
    server("hono", &["hono"]),
    server("fastify", &["fastify"]),
    server("h3", &["h3"]),
    server("koa", &["koa"]),
    server("hapi", &["@hapi/hapi"]),
    server("restify", &["restify"]),
    server("polka", &["polka"]),
    server("express", &["express"]),
    // Bundlers that others bring along.
    spa("vite", &["vite"], Some("vite build"), "dist", &["vite"]),
    spa("rsbuild", &["@rsbuild/core"], Some("rsbuild build"), "dist", &["rsbuild"]),
    pages("parcel", &["parcel", "parcel-bundler"], None, "dist", &["parcel"]),
    pages("storybook", &["storybook"], Some("storybook build"), "storybook-static", &["storybook", "start-storybook"]),
];
