// Every code that the log may show can be looked up in docs/error-codes.md: those that the sources write, and all names of the
// published list, which operators search for.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const [written, kept] = readFileSync(join(ROOT, 'docs/error-codes.md'), 'utf8').split('## Kept for what comes');
const named = (text) => new Set([...text.matchAll(/`([A-Z][A-Za-z]+)`/g)].map(([, code]) => code));

const sources = readdirSync(join(ROOT, 'src'), { recursive: true })
  .filter((file) => file.endsWith('.cc') && !file.endsWith('_test.cc'))
  .map((file) => readFileSync(join(ROOT, 'src', file), 'utf8'))
  .join('\n');

// Where a code is given to a line, directly or by a table, and where a function takes it first.
const CODES = /(?:error_code =|\bcode =|code_of\(|LogLevel::k\w+,|log_error\(|refuse_with\(|return|\?|:)\s*"((?:[A-Z][A-Za-z]*[a-z])(?:[A-Z][A-Za-z]*)+)"/g;
const NO_CODES = new Set(['EdDSA', 'Unauthorized']); // the algorithm, and the words of status 401

test('every code that the server writes is explained', () => {
  const codes = new Set([...sources.matchAll(CODES)].map(([, code]) => code).filter((code) => !NO_CODES.has(code)));
  assert.ok(codes.size > 15, [...codes].join(' '));
  assert.deepEqual([...codes].filter((code) => !named(written).has(code)), []);
});

test('no code is listed as written and as kept', () => {
  assert.deepEqual([...named(kept)].filter((code) => named(written).has(code)), []);
  assert.deepEqual([...named(kept)].filter((code) => !NO_CODES.has(code) && sources.includes(`"${code}"`)), [], 'they are written now');
});

test('the published names are all there [E-027]', () => {
  const all = new Set([...named(written), ...named(kept)]);
  const PUBLISHED = `
    TopicNameRequired InvalidJoinPayload RealtimeDisabledForConfiguration TenantNotFound MissingAPIKey
    ErrorConnectingToWebsocket UnableToDeleteTenant UnableToSetPolicies UnableCheckoutConnection UnableToSubscribeToPostgres
    ReconnectSubscribeToPostgres ChannelRateLimitReached ConnectionRateLimitReached ClientJoinRateLimitReached
    DatabaseConnectionRateLimitReached MessagePerSecondRateLimitReached RealtimeDisabledForTenant
    UnableToConnectToTenantDatabase DatabaseLackOfConnections DatabaseConnectionDown RealtimeNodeDisconnected
    MigrationsFailedToRun StartReplicationFailed ReplicationConnectionTimeout ReplicationConnectionDown
    ReplicationConnectionRecoveryFailed ReplicationConnectionWatchdogTimeout ReplicationMaxWalSendersReached
    PartitionCreationFailed MissingPartition ErrorStartingPostgresCDC ReplicationSlotBeingUsed
    PoolingReplicationPreparationError PoolingReplicationError CheckOidsError SubscriptionCleanupFailed
    SubscriptionDeletionFailed ReplicationPollerConnectionFailed ReplicationPollerMaxRetriesReached
    DropReplicationSlotFailed SubscriptionManagerConnectionFailed PgStatActivityQueryFailed RateCounterError
    UnableToCheckProcessesOnRemoteNode UnhandledProcessMessage UnableToTrackPresence UnknownPresenceEvent
    IncreaseConnectionPool IncreaseSubscriptionConnectionPool RlsPolicyError UnableToConnectToProject JwtSignatureError
    MalformedJWT Unauthorized RealtimeRestarting InvalidPresencePayload UnprocessableEntity InitializingProjectConnection
    TimeoutOnRpcCall ErrorOnRpcCall RpcError ErrorExecutingTransaction SynInitializationError
    JanitorFailedToDeleteOldMessages UnableToEncodeJson UnableToBroadcastChanges WarnSendingBroadcastMessage
    UnexpectedMessageReceived ErrorRunningQuery QueryCanceled UnknownError UnknownErrorOnController UnknownErrorOnChannel
    UnknownErrorOnCounter MusterJoinError PresenceRateLimitReached ClientPresenceRateLimitReached UnableToReplayMessages
    JwtSignerError MalformedWebSocketMessage UnknownErrorOnWebSocketMessage ReplicationSlotLagTooHigh
    ReplicationSlotLagCheckSkipped HttpServerError HttpClientError JoinsRateLimitReached InvalidJWTToken PrivateOnly
    UnableToHandleBroadcast UnableToHandlePresence ChannelShutdown ReplicationRecoveryWindowExceeded MigrationCountMismatch
    MigrationCountMismatchReconcileFailed MetricsPusherTimeout MetricsPusherTaskExited MetricsPusherFailed
    MetricsPusherException`;
  assert.deepEqual(PUBLISHED.split(/\s+/).filter((code) => code && !all.has(code)), []);
});
