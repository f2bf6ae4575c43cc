//! API tokens. The secret is random and shown once; the store has its SHA-256 only.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::auth::Principal;
use crate::engine::repo::TokenRow;
use crate::engine::{Authorized, Engine, Handle};
use crate::model::{NewToken, Page, Revealed, Secret, Token, TokenId};
use crate::ops::tokens::*;
use crate::{Code, Error, Result};

/// What every token begins with: makes a leaked one easy to find.
const PREFIX: &str = "sh0p_";

/// Days until a token expires, unless set.
const DAYS: u32 = 90;

impl Handle<ListTokens> for Engine {
    async fn handle(&self, _: ListTokens, _: &Authorized) -> Result<Page<Token>> {
        let rows = self.repo().list::<TokenRow>(|query| query).await?;
        Ok(Page::whole(rows.into_iter().map(|row| row.value.token).collect()))
    }
}

impl Handle<CreateToken> for Engine {
    async fn handle(&self, op: CreateToken, cx: &Authorized) -> Result<NewToken> {
        if self.repo().find::<TokenRow>(&format!("name:{}", op.name)).await?.is_some() {
            return Err(Error::conflict(format!("there is a token `{}` already; revoke it first", op.name)));
        }
        let days = op.days.unwrap_or(DAYS);
        if days > 3650 {
            return Err(Error::invalid("days", format!("is {days}"), "use 1 to 3650, or 0 for never"));
        }
        let life = Duration::from_secs(u64::from(days) * 86_400);
        let now = self.now();
        let token = Token {
            id: TokenId::new(self.inner.backends.clock.ulid()),
            name: op.name,
            role: op.role,
            expires_at: (days > 0).then(|| now + life),
            created_at: now,
        };
        let secret = fresh_secret()?;
        cx.change().create(&TokenRow { token: token.clone(), hash: hash(&secret) })?;
        Ok(NewToken { token, secret: Revealed::new(Secret::new(secret)) })
    }
}

impl Handle<RevokeToken> for Engine {
    async fn handle(&self, op: RevokeToken, cx: &Authorized) -> Result<()> {
        let row = self.repo().find::<TokenRow>(&format!("name:{}", op.token)).await?;
        let row = row.ok_or_else(|| Error::not_found("token", &op.token))?;
        cx.change().delete::<TokenRow>(row.value.id());
        Ok(())
    }
}

impl Engine {
    /// Who holds this token. [`Code::Unauthorized`] without saying what is wrong with it.
    pub async fn authenticate(&self, secret: &str) -> Result<Principal> {
        let unknown = || {
            Error::new(Code::Unauthorized, "the token is not known, or has expired; make one with `sh0 tokens create`")
        };
        if !secret.starts_with(PREFIX) || secret.len() > 100 {
            return Err(unknown());
        }
        let row = self.repo().find::<TokenRow>(&format!("hash:{}", hash(secret))).await?.ok_or_else(unknown)?.value;
        if row.expired(self.now()) {
            return Err(unknown());
        }
        Ok(Principal::token(row.id(), row.token.name.as_str(), row.role()))
    }
}

/// The prefix and 256 random bits in hexadecimal.
fn fresh_secret() -> Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| Error::internal(format!("the system gives no randomness: {error}")))?;
    Ok(format!("{PREFIX}{}", hex(&bytes)))
}

fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
