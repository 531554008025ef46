// An OpenID provider for tests: npm oidc-provider with its own login pages, which
// take any password. People, clients and what else a test decides stand in the JSON
// file that is named first; people are read again at each question, so a test
// changes or removes somebody by writing the file.
import { readFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';

const file = process.argv[2];
const read = () => JSON.parse(readFileSync(file, 'utf8'));
const { issuer, port, clients, idTokenLife, userInfoOnly } = read();

const provider = new Provider(issuer, {
  clients,
  claims: {
    openid: ['sub'],
    profile: ['name', 'preferred_username', 'groups', 'resource_access', 'email', 'email_verified'],
  },
  // By default claims are in userinfo alone once there is an access token.
  conformIdTokenClaims: userInfoOnly === true,
  features: {
    devInteractions: { enabled: true },
    deviceFlow: {
      enabled: true,
      // The pages that come with it ask a font server on the Internet.
      userCodeInputSource: (ctx, form, out, err) => {
        ctx.body = `<!DOCTYPE html><title>Device</title>${err ? '<p>wrong code</p>' : ''}${form}<button type="submit" form="op.deviceInputForm">Continue</button>`;
      },
      userCodeConfirmSource: (ctx, form) => {
        ctx.body = `<!DOCTYPE html><title>Confirm</title>${form}<button type="submit" form="op.deviceConfirmForm">Continue</button>`;
      },
      successSource: (ctx) => { ctx.body = '<!DOCTYPE html><title>Done</title><p>Done</p>'; },
    },
    revocation: { enabled: true },
  },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  cookies: { keys: ['only for tests'] },
  ttl: {
    IdToken: idTokenLife || 3600, AccessToken: 3600, RefreshToken: 86400, Grant: 86400, Session: 86400, Interaction: 3600, DeviceCode: 600,
  },
  findAccount: (ctx, sub) => {
    const claims = read().people[sub];
    return claims && { accountId: sub, claims: () => ({ ...claims, sub }) };
  },
});

const server = provider.listen(port, '127.0.0.1', () => console.log(`listening on ${issuer}`));
process.on('SIGTERM', () => {
  server.closeAllConnections();
  server.close(() => process.exit(0));
});
