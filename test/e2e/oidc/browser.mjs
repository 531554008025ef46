// Drives Chromium through a login and prints what it saw, as one line of JSON.
// Arguments: the gateway's address, the person's subject, an address of another origin.
import { chromium } from 'playwright-core';

const [gateway, subject, elsewhere] = process.argv.slice(2);
const saw = { violations: [] };
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
});
try {
  const page = await browser.newPage();
  page.on('console', (m) => { if (/Content Security Policy/.test(m.text())) saw.violations.push(m.text()); });

  // The login, by the links and forms that a person sees.
  await page.goto(`${gateway}/login`);
  await page.getByRole('link', { name: 'Log in with Corp' }).click();
  await page.fill('[name=login]', subject);
  await page.fill('[name=password]', 'any');
  await page.getByRole('button', { name: 'Sign-in' }).click();
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.waitForURL(`${gateway}/login`);
  saw.name = await page.textContent('#name');
  saw.subject = await page.textContent('#subject');
  saw.groups = await page.locator('.group').allTextContents();
  saw.scriptSees = await page.evaluate(() => document.cookie);
  const cookies = (await page.context().cookies(gateway)).filter((c) => c.name.includes('bondgate'));
  saw.cookies = cookies.map(({ name, httpOnly, sameSite }) => ({ name, httpOnly, sameSite }));

  // What a page of the site may do with the session. The login's own page allows
  // no script at all, so another one of the origin is taken.
  await page.goto(`${gateway}/livez`);
  const ask = (path, init) => page.evaluate(async ([p, i]) => {
    const r = await fetch(p, i);
    return { status: r.status, body: await r.text() };
  }, [path, init]);
  saw.read = await ask('/api/v1/projects');
  saw.write = await ask('/api/v1/projects/team/members/group/qa', {
    method: 'PUT', headers: { 'Content-Type': 'application/json' }, body: '{"role":"guest"}',
  });
  saw.registry = await ask('/v2/');

  // Another origin of the same site: the browser sends the cookie along.
  await page.goto(elsewhere);
  saw.foreignRead = await page.evaluate(async (url) => {
    try {
      await (await fetch(url, { credentials: 'include' })).text();
      return 'read';
    } catch {
      return 'refused';
    }
  }, `${gateway}/api/v1/projects`);
  const [answer] = await Promise.all([
    page.waitForNavigation(),
    page.evaluate((url) => {
      const form = document.createElement('form');
      form.method = 'post';
      form.action = url;
      document.body.append(form);
      form.submit();
    }, `${gateway}/logout`),
  ]);
  saw.foreignLogout = answer.status();

  await page.goto(`${gateway}/login`);
  saw.stillSubject = await page.textContent('#subject');
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.waitForURL(`${gateway}/login`);
  saw.afterLogout = await page.getByRole('link').allTextContents();
  saw.cookiesLeft = (await page.context().cookies(gateway)).filter((c) => c.name.includes('bondgate')).length;
} finally {
  await browser.close();
}
console.log(JSON.stringify(saw));
