//! The port that a script of JavaScript or TypeScript listens on.

use crate::text::lines;

/// What takes its port among options, and the port it takes without one: of Node, of Deno
/// (docs.deno.com/api/deno/~/Deno.serve), of Bun, which reads `PORT` itself (bun.com/docs/api/http), and of Hono.
const TAKE_OPTIONS: &[(&str, Option<u16>)] =
    &[(".listen({", None), ("listen: {", None), ("Deno.serve(", Some(8000)), ("serve({", None)];

/// How many lines of options are looked at.
const OPTIONS: usize = 12;

/// A port that is written into the script, with its line; `None` when the script looks at `PORT`.
pub(super) fn fixed_port(text: &str) -> Option<(u32, u16)> {
    // `process.env.PORT`, `const { PORT = 3000 } = Bun.env`, `Deno.env.get("PORT")`
    if text.lines().any(|line| line.contains("PORT") && line.contains("env")) {
        return None;
    }
    let argument = lines(text).find_map(|(line, found)| value(text, line, found.split_once(".listen(")?.1));
    argument.or_else(|| lines(text).find_map(|(line, found)| in_options(text, line, found)))
}

/// `{ port: 3000 }` behind a call, or below it; else what the call takes without.
fn in_options(text: &str, line: u32, found: &str) -> Option<(u32, u16)> {
    let (behind, default) = TAKE_OPTIONS.iter().find_map(|(call, default)| Some((after(found, call)?, default)))?;
    let below = lines(text).skip_while(|(below, _)| *below <= line).take(OPTIONS);
    let named = std::iter::once((line, behind))
        .chain(below)
        .take_while(|(_, text)| !text.trim_start().starts_with("}"))
        .find_map(|(line, options)| Some((line, after(options, "port:")?)));
    match named {
        Some((line, argument)) => value(text, line, argument),
        None => default.map(|port| (line, port)),
    }
}

/// What follows a word; `viewport:` is not the word `port:`.
fn after<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let (before, after) = text.split_once(word)?;
    (word.starts_with('.') || !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')).then_some(after)
}

/// A number, or the name of a constant that is one: `const port = 3000`.
fn value(text: &str, line: u32, argument: &str) -> Option<(u32, u16)> {
    let name = argument.trim_start().split([',', ')', '}', ' ']).next().unwrap_or_default();
    let constant = || {
        lines(text).find_map(|(line, text)| {
            let (before, after) = text.split_once('=')?;
            (before.split_whitespace().last() == Some(name)).then(|| number(after)).flatten().map(|port| (line, port))
        })
    };
    number(argument).map(|port| (line, port)).or_else(constant)
}

fn number(text: &str) -> Option<u16> {
    let digits: String = text.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|port| *port > 0)
}

#[cfg(test)]
mod tests {
    use super::fixed_port;

    #[test]
    fn scripts_name_their_port() {
        for (text, found) in [
            ("app.listen(3000)", Some((1, 3000))),
            ("const port = 4000;\napp.listen(port, () => {});", Some((1, 4000))),
            ("new Elysia().get('/', () => {\n}).listen(3000);", Some((2, 3000))),
            ("await fastify.listen({ port: 8000 });", Some((1, 8000))),
            ("await start(server, {\n  listen: { port: 8000 },\n});", Some((2, 8000))),
            ("Bun.serve({\n  port: 5005,\n  fetch() {}\n});", Some((2, 5005))),
            ("serve({\n  fetch: app.fetch,\n  port: 3000\n}, (info) => {})", Some((3, 3000))),
            ("Bun.serve({\n  fetch() {}\n});", None),
            ("page.observe({ port: 1 })\nserve({ viewport: 2 })", None),
            ("Deno.serve({ port: 9000 }, () => new Response())", Some((1, 9000))),
            ("Deno.serve(() => {\n  return new Response()\n});", Some((1, 8000))),
            ("Deno.serve(handler);\nconst at = { host: 1 };\n}\nlet x = { port: 5 };", Some((1, 8000))),
            ("Bun.serve({ port: Bun.env.PORT ?? 3000 })", None),
            ("Deno.serve({ port: Number(Deno.env.get(\"PORT\")) }, handler)", None),
            ("app.listen(process.env.PORT || 3000)", None),
            ("const { PORT = 3000 } = process.env;\napp.listen(PORT)", None),
            ("app.listen(port)", None),
        ] {
            assert_eq!(fixed_port(text), found, "{text}");
        }
    }
}
