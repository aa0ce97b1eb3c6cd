// What the control database looks like, and which migrations of it are known (tenants.md 1 and 2).
#pragma once

#include <string_view>

namespace rt::store {

inline constexpr std::string_view kControlVersions[] = {
    "20210706140551", "20220329161857", "20220410212326", "20220506102948", "20220527210857", "20220815211129",
    "20220815215024", "20220818141501", "20221018173709", "20221102172703", "20221223010058", "20230110180046",
    "20230810220907", "20230810220924", "20231024094642", "20240306114423", "20240418082835", "20240625211759",
    "20240704172020", "20240902173232", "20241106103258", "20250424203323", "20250613072131", "20250711044927",
    "20250811121559", "20250926223044", "20251204170944", "20251218000543", "20260209232800", "20260304000000",
    "20260422000000", "20260709151810", "20260805000000"};

// In the schema that the search path begins with.
inline constexpr const char* kControlTables = R"sql(
CREATE TABLE tenants (
  id uuid PRIMARY KEY,
  name text,
  external_id text,
  jwt_secret text,
  jwt_jwks jsonb,
  postgres_cdc_default text DEFAULT 'postgres_cdc_rls',
  max_concurrent_users integer NOT NULL DEFAULT 200,
  max_events_per_second integer NOT NULL DEFAULT 100,
  max_presence_events_per_second integer DEFAULT 1000,
  max_payload_size_in_kb integer DEFAULT 3000,
  max_bytes_per_second integer NOT NULL DEFAULT 100000,
  max_channels_per_client integer NOT NULL DEFAULT 100,
  max_joins_per_second integer NOT NULL DEFAULT 500,
  max_client_presence_events_per_window integer,
  client_presence_window_ms integer,
  suspend boolean DEFAULT false,
  private_only boolean NOT NULL DEFAULT false,
  presence_enabled boolean NOT NULL DEFAULT false,
  migrations_ran integer DEFAULT 0,
  broadcast_adapter character varying(255) DEFAULT 'gen_rpc',
  notify_private_alpha boolean DEFAULT false,
  feature_flags jsonb NOT NULL DEFAULT '{}',
  gcm_migrated_at timestamp(0) without time zone,
  inserted_at timestamp(0) without time zone NOT NULL,
  updated_at timestamp(0) without time zone NOT NULL,
  CONSTRAINT jwt_secret_or_jwt_jwks_required CHECK (jwt_secret IS NOT NULL OR jwt_jwks IS NOT NULL)
);
CREATE UNIQUE INDEX tenants_external_id_index ON tenants (external_id);
CREATE TABLE extensions (
  id uuid PRIMARY KEY,
  type text,
  settings jsonb,
  tenant_external_id text REFERENCES tenants (external_id) ON DELETE CASCADE,
  inserted_at timestamp(0) without time zone NOT NULL,
  updated_at timestamp(0) without time zone NOT NULL
);
CREATE INDEX extensions_tenant_external_id_index ON extensions (tenant_external_id);
CREATE UNIQUE INDEX extensions_tenant_external_id_type_index ON extensions (tenant_external_id, type);
CREATE TABLE feature_flags (
  id uuid PRIMARY KEY,
  name character varying(255) NOT NULL,
  enabled boolean NOT NULL DEFAULT false,
  rollout_percentage integer NOT NULL DEFAULT 100,
  bucket_key character varying(255),
  inserted_at timestamp(0) without time zone NOT NULL,
  updated_at timestamp(0) without time zone NOT NULL,
  CONSTRAINT rollout_percentage_must_be_between_0_and_100 CHECK (rollout_percentage BETWEEN 0 AND 100)
);
CREATE UNIQUE INDEX feature_flags_name_index ON feature_flags (name);
)sql";

}  // namespace rt::store
