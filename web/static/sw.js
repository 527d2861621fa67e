// Keeps the chat page, and what it needs to answer without a network. It never sees or keeps what a person writes:
// only plain GET requests for the files that the page named are kept, and articles that were read are not.
'use strict';
const CACHE = 'v1';
const PATIENCE_MS = 5000;
self.addEventListener('install', (event) => event.waitUntil(self.skipWaiting()));
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('message', (event) => {
  const { page, files } = event.data || {};
  if (!page) return;
  event.waitUntil(caches.open(CACHE).then(async (cache) => {
    // What an older version of the page needed goes.
    for (const request of await cache.keys()) {
      const path = new URL(request.url).pathname;
      if (path.startsWith('/static/') && !files.some((file) => new URL(file, self.location).pathname === path)) await cache.delete(request);
    }
    const get = async (url, as) => {
      const response = await fetch(url, { credentials: 'omit' });
      if (response.ok) await cache.put(as || url, response);
    };
    await Promise.allSettled([...files.map((file) => get(file)), get(page, '/'), get(page)]);
  }));
});
const fromNetwork = (request) => new Promise((done, fail) => {
  const timer = setTimeout(() => fail(new Error('slow')), PATIENCE_MS);
  fetch(request).then(done, fail).finally(() => clearTimeout(timer));
});
self.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (url.origin !== self.location.origin) return;
  if (request.mode === 'navigate' && url.pathname === '/') {
    event.respondWith(fromNetwork(request).catch(async () => {
      const cache = await caches.open(CACHE);
      // Pages vary by headers that a question to the cache does not carry.
      const loosely = { ignoreVary: true };
      return await cache.match(`/${url.search}`, loosely) || await cache.match('/', loosely) || Response.error();
    }));
  } else if (request.method === 'GET' && url.pathname === '/offline.json') {
    // The network first, so that the date shown is true.
    event.respondWith(fromNetwork(new Request(request, { cache: 'default' })).catch(async () => {
      const cache = await caches.open(CACHE);
      return await cache.match(request, { ignoreVary: true }) || Response.error();
    }));
  } else if (request.method === 'GET' && url.pathname.startsWith('/static/')) {
    event.respondWith(caches.open(CACHE).then((cache) => cache.match(request, { ignoreVary: true })).then((found) => found || fetch(request)));
  }
});
