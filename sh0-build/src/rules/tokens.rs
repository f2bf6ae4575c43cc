//! The formats of vendors' tokens, from what the vendors publish: prefix, alphabet and length.

use sh0_core::model::Severity;

use super::judge::{random_token, token};
use super::rule::{Pattern, Verdict};

/// `what`, keywords, regular expression: judged as a token that cannot be anything else.
macro_rules! tokens {
    ($($what:literal, [$($keyword:literal),+], $regex:literal, $judge:expr;)*) => {
        &[$(Pattern { what: $what, keywords: &[$($keyword),+], regex: $regex, judge: $judge }),*]
    };
}

/// Keys of clouds: with them, everything else can be had.
pub(super) static CLOUD: &[Pattern] = tokens![
    "an AWS access key", ["akia", "asia", "abia", "acca"], r"\b((?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16})\b", token;
    "an AWS secret key", ["aws_secret", "aws-secret", "awssecret", "secret_access_key", "secretaccesskey"], r#"(?i)(?:aws_?-?secret\w*|secret_?access_?key)['"]?\s*(?:=|:|=>)\s*['"]?([a-z0-9/+]{30,44})\b"#, random_token;
    "an AWS Bedrock key", ["abskq", "bedrock-api-key-"], r"\b(ABSK[A-Za-z0-9+/]{109,}={0,2}|bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t)", token;
    "an Azure storage key", ["accountkey="], r"AccountKey=([A-Za-z0-9+/]{86}==)", token;
    "an Azure client secret", ["q~"], r#"(?:^|[\\'"`\s>=:(,)])([A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34})(?:$|[\\'"`\s<),])"#, random_token;
    "a Google service account", ["service_account"], r#"("type"\s*:\s*"service_account")"#, |found| if found.file_has("private_key\"") { super::judge::token(found) } else { None };
    "an Alibaba access key", ["ltai"], r"\b(LTAI[A-Za-z0-9]{20})\b", random_token;
    "a DigitalOcean token", ["dop_v1_", "doo_v1_", "dor_v1_"], r"\b(do[por]_v1_[a-f0-9]{64})\b", token;
];

/// Tokens of vendors.
pub(super) static VENDORS: &[Pattern] = tokens![
    "a GitHub token", ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], r"\b(gh[pousr]_[A-Za-z0-9]{36,255})", token;
    "a GitHub token", ["github_pat_"], r"\b(github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})", token;
    "a GitLab token", ["glpat-", "glptt-", "gldt-", "glrt-", "glft-", "glsoat-", "glcbt-", "glagent-", "glimt-", "gloas-"], r"\b(gl(?:pat|ptt|dt|rt|ft|soat|cbt|agent|imt|oas)-[A-Za-z0-9_-]{20,})", token;
    "a GitLab runner token", ["gr1348941"], r"\b(GR1348941[A-Za-z0-9_-]{20})\b", token;
    "an npm token", ["npm_"], r"\b(npm_[A-Za-z0-9]{36})\b", token;
    "a PyPI token", ["pypi-"], r"\b(pypi-AgE[A-Za-z0-9_-]{50,})", token;
    "a RubyGems key", ["rubygems_"], r"\b(rubygems_[a-f0-9]{48})\b", token;
    "a Docker Hub token", ["dckr_pat_", "dckr_oat_"], r"\b(dckr_[po]at_[A-Za-z0-9_-]{27,})", token;
    "a Slack token", ["xoxb-"], r"\b(xoxb-[0-9]{8,14}-(?:[0-9]{8,14}-)?[A-Za-z0-9]{18,30})\b", token;
    "a Slack token", ["xoxp-", "xoxe-"], r"\b(xox[pe](?:-[0-9]{10,13}){3}-[A-Za-z0-9-]{28,34})\b", token;
    "a Slack token", ["xoxo-", "xoxs-"], r"\b(xox[os]-\d+-\d+-\d+-[a-fA-F\d]+)\b", token;
    "a Slack token", ["xoxa-", "xoxr-"], r"\b(xox[ar]-(?:\d-)?[0-9]{6,14}-[0-9a-zA-Z-]{10,60})\b", token;
    "a Slack token", ["xoxe.xox", "xoxe-"], r"(?i)\b(xoxe(?:\.xox[bp])?-\d-[A-Z0-9]{140,170})\b", token;
    "a Slack app token", ["xapp-"], r"(?i)\b(xapp-\d-[A-Z0-9]+-\d+-[a-z0-9]+)\b", token;
    "a Slack webhook", ["hooks.slack.com"], r"hooks\.slack\.com/((?:services|workflows|triggers)/[A-Za-z0-9+/]{40,62})", random_token;
    "a Stripe secret key", ["sk_live_", "rk_live_", "sk_prod_", "rk_prod_"], r"\b([rs]k_(?:live|prod)_[A-Za-z0-9]{10,255})\b", token;
    "a Stripe key of the test mode", ["sk_test_", "rk_test_"], r"\b([rs]k_test_[A-Za-z0-9]{10,255})\b", |found| token(found).map(|_| Verdict::As(Severity::Low));
    "a SendGrid key", ["sg."], r"\b(SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})\b", token;
    "a Mailgun key", ["mailgun"], r"(?i)mailgun[\w.-]{0,20}['\x22]?\s*[=:]\s*['\x22]?(key-[a-f0-9]{32}|[a-f0-9]{32}-[a-f0-9]{8}-[a-f0-9]{8})\b", token;
    "a Mailchimp key", ["mailchimp"], r"(?i)mailchimp[\w.-]{0,20}['\x22]?\s*[=:]{1,2}\s*['\x22]?([a-f0-9]{32}-us\d{1,2})\b", token;
    "a Twilio key", ["twilio"], r"(?i)twilio[\w.-]{0,30}['\x22]?\s*[=:]\s*['\x22]?((?:SK)?[a-f0-9]{32})\b", random_token;
    "an OpenAI key", ["t3blbkfj"], r"\b(sk-(?:(?:proj|svcacct|admin|None)-)?[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,})", token;
    "an Anthropic key", ["sk-ant-"], r"\b(sk-ant-(?:api03|admin01)-[A-Za-z0-9_-]{93}AA)\b", token;
    "a Hugging Face token", ["hf_"], r"(?:^|[\s'\x22=:`>])(hf_[A-Za-z]{34})(?:$|[\s'\x22,;`<\\])", token;
    "a Hugging Face organisation token", ["api_org_"], r"(?:^|[\s'\x22=:`>])(api_org_[A-Za-z]{34})(?:$|[\s'\x22,;`<\\])", token;
    "a Groq key", ["gsk_"], r"\b(gsk_[A-Za-z0-9]{52})\b", token;
    "a Perplexity key", ["pplx-"], r"\b(pplx-[A-Za-z0-9]{48})\b", token;
    "an xAI key", ["xai-"], r"\b(xai-[A-Za-z0-9]{80})\b", token;
    "a Replicate token", ["r8_"], r"\b(r8_[A-Za-z0-9]{37})\b", token;
    "a Notion token", ["ntn_"], r"\b(ntn_\d{11}[A-Za-z0-9]{35})\b", random_token;
    "a Sourcegraph token", ["sgp_"], r"\b(sgp_(?:(?:[a-fA-F0-9]{16}|local)_)?[a-fA-F0-9]{40})\b", random_token;
    "a Sentry token", ["sntrys_", "sntryu_"], r"\b(sntrys_eyJ[A-Za-z0-9+/=_]{80,}|sntryu_[a-f0-9]{64})", token;
    "a Grafana token", ["glc_", "glsa_"], r"\b(glc_[A-Za-z0-9+/]{32,400}={0,3}|glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8})", random_token;
    "a Terraform Cloud token", [".atlasv1."], r"\b([A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70})", token;
    "a Vault token", ["hvs.", "hvb.", "hvr."], r"\b(hv[sbr]\.[A-Za-z0-9_-]{24,300})", random_token;
    "a Vault token", ["token"], r"(?i:token)\w*['\x22]?\s*[=:]?\s*['\x22]?(s\.[A-Za-z0-9]{24})\b", |found| { let v = found.value(); if v.bytes().any(|b| b.is_ascii_digit()) && v.bytes().any(|b| b.is_ascii_uppercase()) { random_token(found) } else { None } };
    "a Heroku key", ["hrku-"], r"\b(HRKU-AA[A-Za-z0-9_-]{58})", token;
    "an API key", ["heroku", "snyk", "hubspot", "messagebird"], r"(?i)(?:heroku|snyk|hubspot|message_?bird)[\w.-]{0,30}['\x22]?\s*(?:=|:{1,3}=?|\?=|=>|:)+\s*['\x22]?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b", token;
    "a Shopify token", ["shpat_", "shpca_", "shppa_", "shpss_"], r"\b(shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32})\b", token;
    "a Square token", ["sq0atp-", "sq0csp-"], r"\b(sq0(?:atp|csp)-[A-Za-z0-9_-]{22,60})", token;
    "a Square token", ["eaaa"], r"\b(EAAA[A-Za-z0-9_-]{60})\b", random_token;
    "a Facebook token", ["eaac", "eaam"], r"\b(EAA[MC][A-Za-z0-9]{100,})\b", token;
    "a Facebook app token", ["facebook"], r"\b(\d{15,16}\|[A-Za-z0-9_-]{27,40})\b", random_token;
    "a Facebook app secret", ["facebook"], r"(?i)facebook[\w.-]{0,30}['\x22]?\s*[=:]+\s*['\x22]?([a-f0-9]{32})\b", random_token;
    "a 1Password service account", ["ops_eyj"], r"\b(ops_eyJ[A-Za-z0-9+/]{250,}={0,3})", token;
    "a 1Password secret key", ["a3-"], r"\b(A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5})\b", token;
    "a Databricks token", ["dapi"], r"\b(dapi[a-f0-9]{32}(?:-\d)?)\b", token;
    "a Doppler token", ["dp.pt.", "dp.st.", "dp.ct.", "dp.sa.", "dp.scim.", "dp.audit."], r"\b(dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{40,60})\b", token;
    "a Linear key", ["lin_api_"], r"\b(lin_api_[A-Za-z0-9]{40})\b", token;
    "a Postman key", ["pmak-"], r"\b(PMAK-[a-f0-9]{24}-[a-f0-9]{34})\b", token;
    "a PlanetScale secret", ["pscale_"], r"\b(pscale_(?:tkn|pw|oauth)_[A-Za-z0-9=._-]{32,64})", token;
    "a Pulumi token", ["pul-"], r"\b(pul-[a-f0-9]{40})\b", token;
    "a Prefect key", ["pnu_"], r"\b(pnu_[a-z0-9]{36})\b", token;
    "a ReadMe key", ["rdme_"], r"\b(rdme_[a-z0-9]{70})\b", token;
    "a New Relic key", ["nrak-", "nrii-", "nral-"], r"\b(NR(?:AK|II|AL)-[A-Z0-9_-]{27,40})\b", token;
    "a Netlify token", ["nfp_"], r"\b(nfp_[A-Za-z0-9]{36,})\b", token;
    "a Supabase secret", ["sbp_", "sb_secret_"], r"\b(sbp_[a-f0-9]{40}|sb_secret_[A-Za-z0-9_-]{20,})\b", token;
    "a Fly.io token", ["fo1_", "fm1", "fm2_"], r"(?:^|[\s'\x22=:,])(fo1_[A-Za-z0-9_-]{43}|fm(?:1[ar]|2)_[A-Za-z0-9+/]{100,}={0,3})(?:$|[\s'\x22,;<\\])", token;
    "a Render key", ["rnd_"], r"\b(rnd_[A-Za-z0-9]{28,})\b", random_token;
    "a Resend key", ["resend"], r"\b(re_[A-Za-z0-9]{8}_[A-Za-z0-9]{24})\b", random_token;
    "a Telegram bot token", [":aa"], r"(?:^|[\s'\x22=:/]|bot)(\d{8,10}:AA[A-Za-z0-9_-]{33})(?:$|[\s'\x22,;/<\\])", token;
    "a Discord webhook", ["discord.com/api/webhooks", "discordapp.com/api/webhooks"], r"/api/webhooks/(\d{17,20}/[A-Za-z0-9_-]{60,})", token;
    "a Discord bot token", ["discord", "bot"], r"\b([MNO][A-Za-z\d]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38})\b", token;
    "an Atlassian token", ["atatt3"], r"\b(ATATT3[A-Za-z0-9_=-]{100,220})", token;
    "an Atlassian token", ["jira", "confluence", "atlassian"], r"(?i)(?:jira|confluence|atlassian)[\w.-]{0,25}(?:token|key|secret|password)['\x22]?\s*[=:]+\s*['\x22]?([a-z0-9]{24})\b", random_token;
    "an Okta token", ["okta"], r"(?i)okta[\w.-]{0,30}['\x22]?\s*[=:]+\s*['\x22](00[A-Za-z0-9_=-]{40})\b", random_token;
    "an OpenShift token", ["sha256~"], r"(sha256~[A-Za-z0-9_-]{43})", random_token;
    "an Octopus Deploy key", ["octopus", "apikey"], r"(?i:key|octopus)[^\n]{0,20}\b(API-[A-Z0-9]{26})\b", random_token;
    "an Infracost key", ["ico-"], r"(?:^|[\s'\x22=:])(ico-[A-Za-z0-9]{32})(?:$|[\s'\x22,;])", random_token;
    "an Intra42 secret", ["s-s4t2"], r"\b(s-s4t2(?:ud|af)-[a-f0-9]{64})\b", token;
    "a Scalingo token", ["tk-us-"], r"\b(tk-us-[A-Za-z0-9_-]{48})", token;
    "a SonarQube token", ["squ_", "sqp_", "sqa_"], r"\b(sq[upa]_[A-Za-z0-9]{40})\b", token;
    "a SonarQube token", ["sonar"], r"(?i)sonar[\w.-]{0,20}(?:login|token|key|password)['\x22]?\s*(?:=|:{1,3}=?|\?=)+\s*['\x22]?([a-z0-9]{40})\b", token;
    "a Sumo Logic id", ["sumo"], r"(?i:sumo)(?:LOGIC|logic)?[\w.-]{0,3}(?i:access_?id)['\x22]?\s*[=:]\s*['\x22]?(su[A-Za-z0-9]{12})\b", random_token;
    "a Sumo Logic key", ["sumo"], r"(?i)sumo[\w.-]{0,20}(?:key|secret|token)['\x22]?\s*[=:]\s*['\x22]?([a-z0-9]{64})\b", random_token;
    "a Sourcegraph token", ["sourcegraph"], r"(?i)sourcegraph[\w.-]{0,20}['\x22]?\s*[=:]\s*['\x22]?([a-f0-9]{40})\b", random_token;
    "an Artifactory key", ["akcp", "cmvmdgtu"], r"\b(AKCp[A-Za-z0-9]{69}|cmVmdGtu[A-Za-z0-9]{56})\b", token;
    "an age key", ["age-secret-key-1"], r"\b(AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58})\b", token;
    "a ClickHouse Cloud key", ["4b1d"], r"\b(4b1d[A-Za-z0-9]{38})\b", random_token;
    "a Dynatrace token", ["dt0c01."], r"\b(dt0c01\.[A-Z0-9]{24}\.[A-Z0-9]{64})\b", token;
    "an EasyPost key", ["ezak", "eztk"], r"\b(EZ[AT]K[A-Za-z0-9]{54})\b", random_token;
    "a Duffel token", ["duffel_"], r"\b(duffel_(?:test|live)_[A-Za-z0-9_=-]{43})", token;
    "a Flutterwave key", ["flwseck"], r"\b(FLWSECK(?:_TEST)?-[a-h0-9]{32}-X)\b", token;
    "a Figma token", ["figd_", "figdr_", "figo"], r"\b(figd_[A-Za-z0-9_-]{40,})", token;
    "an Airtable token", ["airtable"], r"\b(pat[A-Za-z0-9]{14}\.[a-f0-9]{64})\b", token;
    "a Buildkite token", ["bkua_"], r"\b(bkua_[a-f0-9]{40})\b", token;
    "a CircleCI token", ["ccipat_"], r"\b(CCIPAT_[A-Za-z0-9]{22}_[a-f0-9]{40})\b", token;
    "a Cloudflare key", ["v1.0-"], r"\b(v1\.0-[a-f0-9]{24}-[a-f0-9]{146})\b", token;
    "a Tailscale key", ["tskey-"], r"\b(tskey-(?:auth|api|client)-[A-Za-z0-9]+-[A-Za-z0-9]{20,})\b", token;
    "a Typeform token", ["tfp_"], r"\b(tfp_[A-Za-z0-9_.-]{59})\b", token;
    "a Mapbox secret token", ["sk.eyj"], r"\b(sk\.eyJ[A-Za-z0-9_-]{50,}\.[A-Za-z0-9_-]{20,})", token;
    "a Sidekiq licence", ["contribsys__com"], r"(?i)contribsys__com['\x22]?\s*[=:]\s*['\x22]?([a-f0-9]{8}:[a-f0-9]{8})\b", token;
    "an Adobe secret", ["p8e-"], r"\b(p8e-[a-z0-9]{32})\b", token;
    "a Contentful token", ["cfpat-"], r"\b(CFPAT-[A-Za-z0-9_-]{43})", token;
    "a Frame.io token", ["fio-u-"], r"\b(fio-u-[A-Za-z0-9_=-]{64})", token;
    "a Defined Networking key", ["dnkey-"], r"\b(dnkey-[A-Za-z0-9_=-]{26}-[A-Za-z0-9_=-]{52})", token;
    "a Clojars token", ["clojars_"], r"\b(CLOJARS_[A-Za-z0-9]{60})\b", token;
    "a Cloudinary URL", ["cloudinary://"], r"cloudinary://(\d{12,18}:[A-Za-z0-9_-]{20,})@", token;
];
