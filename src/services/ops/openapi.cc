#include "services/ops/openapi.h"

namespace rt::ops {

std::string_view openapi_document() {
  static constexpr std::string_view kDocument = R"json({
"openapi": "3.0.3",
"info": {"title": "realtime", "version": ")json" RT_VERSION R"json(",
  "description": "Tenants and broadcasts. Sockets speak the Phoenix protocol at /socket/websocket, or by long-poll at /socket/longpoll."},
"servers": [{"url": "{scheme}://{tenant}.{domain}", "variables": {
  "scheme": {"default": "http", "enum": ["http", "https"]},
  "tenant": {"default": "tenant", "description": "external_id of the tenant; broadcasts go to the one of the host"},
  "domain": {"default": "localhost:4000"}}}],
"components": {
  "securitySchemes": {"authorization": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
  "parameters": {"tenant_id": {"name": "tenant_id", "in": "path", "required": true, "schema": {"type": "string"},
    "description": "external_id of the tenant"}},
  "responses": {
    "NoContent": {"description": "Done."},
    "Accepted": {"description": "Accepted. The body is empty."},
    "BadRequest": {"description": "The body is no JSON or has not what it needs.",
      "content": {"application/json": {"schema": {"type": "string", "example": "Bad Request"}}}},
    "Refused": {"description": "No token of an operator, or one of a client where something is changed. The body is empty."},
    "Message": {"description": "What is wrong.",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Message"}}}},
    "Faults": {"description": "What is wrong with which field.",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Faults"}}}},
    "Tenant": {"description": "The tenant.",
      "content": {"application/json": {"schema": {"type": "object", "properties": {
        "data": {"$ref": "#/components/schemas/Tenant"}}}}}},
    "Created": {"description": "The new tenant.",
      "headers": {"location": {"schema": {"type": "string"}}},
      "content": {"application/json": {"schema": {"type": "object", "properties": {
        "data": {"$ref": "#/components/schemas/Tenant"}}}}}}},
  "schemas": {
    "Message": {"type": "object", "required": ["message"], "properties": {"message": {"type": "string"}}},
    "Faults": {"type": "object", "required": ["errors"], "properties": {"errors": {"type": "object"}},
      "example": {"errors": {"jwt_secret": ["either jwt_secret or jwt_jwks must be provided"]}}},
    "Extension": {"type": "object", "required": ["type", "settings"], "properties": {
      "type": {"type": "string", "example": "postgres_cdc_rls"},
      "settings": {"type": "object", "additionalProperties": true, "properties": {
        "region": {"type": "string"}, "db_host": {"type": "string"}, "db_port": {"type": "string"},
        "db_name": {"type": "string"}, "db_user": {"type": "string"}, "db_password": {"type": "string"},
        "ssl_enforced": {"type": "boolean"}, "poll_interval_ms": {"type": "integer"}}}}},
    "Tenant": {"type": "object", "properties": {
      "id": {"type": "string", "format": "uuid"}, "external_id": {"type": "string"}, "name": {"type": "string"},
      "max_concurrent_users": {"type": "integer"}, "max_channels_per_client": {"type": "integer"},
      "max_events_per_second": {"type": "integer"}, "max_joins_per_second": {"type": "integer"},
      "max_client_presence_events_per_window": {"type": "integer", "nullable": true},
      "client_presence_window_ms": {"type": "integer", "nullable": true},
      "presence_enabled": {"type": "boolean"}, "private_only": {"type": "boolean"},
      "inserted_at": {"type": "string", "example": "2023-01-01T00:00:00"},
      "extensions": {"type": "array", "items": {"$ref": "#/components/schemas/Extension"}}}},
    "TenantAttributes": {"type": "object", "required": ["tenant"], "properties": {"tenant": {"type": "object", "properties": {
      "external_id": {"type": "string"}, "name": {"type": "string"}, "jwt_secret": {"type": "string", "writeOnly": true},
      "jwt_jwks": {"type": "object", "nullable": true}, "suspend": {"type": "boolean"},
      "private_only": {"type": "boolean"}, "presence_enabled": {"type": "boolean"},
      "max_concurrent_users": {"type": "integer", "minimum": 0}, "max_channels_per_client": {"type": "integer", "minimum": 0},
      "max_events_per_second": {"type": "integer", "minimum": 0}, "max_joins_per_second": {"type": "integer", "minimum": 0},
      "max_presence_events_per_second": {"type": "integer", "minimum": 0},
      "max_bytes_per_second": {"type": "integer", "minimum": 0}, "max_payload_size_in_kb": {"type": "integer", "minimum": 0},
      "max_client_presence_events_per_window": {"type": "integer", "minimum": 0, "nullable": true},
      "client_presence_window_ms": {"type": "integer", "minimum": 0, "nullable": true},
      "feature_flags": {"type": "object", "additionalProperties": {"type": "boolean"}},
      "extensions": {"type": "array", "items": {"$ref": "#/components/schemas/Extension"}}}}},
      "example": {"tenant": {"jwt_secret": "the secret of its tokens", "max_events_per_second": 1000}}},
    "Health": {"type": "object", "properties": {"data": {"type": "object", "properties": {
      "healthy": {"type": "boolean"}, "db_connected": {"type": "boolean"}, "replication_connected": {"type": "boolean"},
      "connected_cluster": {"type": "integer"}, "region": {"type": "string", "nullable": true},
      "node": {"type": "string"}}}}},
    "Batch": {"type": "object", "required": ["messages"], "properties": {"messages": {"type": "array", "items": {
      "type": "object", "required": ["topic", "event", "payload"], "properties": {
        "topic": {"type": "string", "description": "of the channel, without `realtime:`"}, "event": {"type": "string"},
        "payload": {"type": "object"}, "private": {"type": "boolean", "default": false}, "id": {"type": "string"}}}}}}}},
"paths": {
  "/api/tenants": {
    "get": {"summary": "All tenants", "security": [{"authorization": []}], "responses": {
      "200": {"description": "All of them.", "content": {"application/json": {"schema": {"type": "object", "properties": {
        "data": {"type": "array", "items": {"$ref": "#/components/schemas/Tenant"}}}}}}},
      "403": {"$ref": "#/components/responses/Refused"}}},
    "post": {"summary": "Make a tenant, or change the one of its external_id", "security": [{"authorization": []}],
      "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TenantAttributes"}}}},
      "responses": {"200": {"$ref": "#/components/responses/Tenant"}, "201": {"$ref": "#/components/responses/Created"},
        "400": {"$ref": "#/components/responses/BadRequest"}, "403": {"$ref": "#/components/responses/Refused"},
        "422": {"$ref": "#/components/responses/Faults"}, "503": {"$ref": "#/components/responses/Message"}}}},
  "/api/tenants/{tenant_id}": {
    "parameters": [{"$ref": "#/components/parameters/tenant_id"}],
    "get": {"summary": "A tenant", "security": [{"authorization": []}], "responses": {
      "200": {"$ref": "#/components/responses/Tenant"}, "403": {"$ref": "#/components/responses/Refused"},
      "404": {"$ref": "#/components/responses/Message"}}},
    "put": {"summary": "Make the tenant, or change what is given", "security": [{"authorization": []}],
      "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TenantAttributes"}}}},
      "responses": {"200": {"$ref": "#/components/responses/Tenant"}, "201": {"$ref": "#/components/responses/Created"},
        "400": {"$ref": "#/components/responses/BadRequest"}, "403": {"$ref": "#/components/responses/Refused"},
        "422": {"$ref": "#/components/responses/Faults"}, "503": {"$ref": "#/components/responses/Message"}}},
    "patch": {"summary": "The same as PUT", "security": [{"authorization": []}],
      "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TenantAttributes"}}}},
      "responses": {"200": {"$ref": "#/components/responses/Tenant"}, "201": {"$ref": "#/components/responses/Created"},
        "400": {"$ref": "#/components/responses/BadRequest"}, "403": {"$ref": "#/components/responses/Refused"},
        "422": {"$ref": "#/components/responses/Faults"}, "503": {"$ref": "#/components/responses/Message"}}},
    "delete": {"summary": "Delete the tenant and disconnect its sockets", "security": [{"authorization": []}], "responses": {
      "204": {"$ref": "#/components/responses/NoContent"}, "403": {"$ref": "#/components/responses/Refused"},
      "503": {"$ref": "#/components/responses/Message"}}}},
  "/api/tenants/{tenant_id}/reload": {
    "parameters": [{"$ref": "#/components/parameters/tenant_id"}],
    "post": {"summary": "Disconnect the sockets of the tenant", "security": [{"authorization": []}], "responses": {
      "204": {"$ref": "#/components/responses/NoContent"}, "403": {"$ref": "#/components/responses/Refused"},
      "404": {"$ref": "#/components/responses/Message"}}}},
  "/api/tenants/{tenant_id}/shutdown": {
    "parameters": [{"$ref": "#/components/parameters/tenant_id"}],
    "post": {"summary": "Stop the connection to the tenant's database", "security": [{"authorization": []}], "responses": {
      "204": {"$ref": "#/components/responses/NoContent"}, "403": {"$ref": "#/components/responses/Refused"},
      "404": {"$ref": "#/components/responses/Message"}}}},
  "/api/tenants/{tenant_id}/health": {
    "parameters": [{"$ref": "#/components/parameters/tenant_id"}],
    "get": {"summary": "How the tenant does", "security": [{"authorization": []}], "responses": {
      "200": {"description": "Healthy or not.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Health"}}}},
      "403": {"$ref": "#/components/responses/Refused"}, "404": {"$ref": "#/components/responses/Message"}}}},
  "/api/broadcast": {
    "post": {"summary": "Broadcast several messages", "security": [{"authorization": []}],
      "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Batch"}}}},
      "responses": {"202": {"$ref": "#/components/responses/Accepted"}, "400": {"$ref": "#/components/responses/BadRequest"},
        "401": {"$ref": "#/components/responses/Message"}, "403": {"$ref": "#/components/responses/Message"},
        "422": {"$ref": "#/components/responses/Faults"}, "429": {"$ref": "#/components/responses/Message"}}}},
  "/api/broadcast/{topic}/events/{event}": {
    "parameters": [
      {"name": "topic", "in": "path", "required": true, "schema": {"type": "string"}, "description": "without `realtime:`"},
      {"name": "event", "in": "path", "required": true, "schema": {"type": "string"}},
      {"name": "private", "in": "query", "schema": {"type": "boolean", "default": false}}],
    "post": {"summary": "Broadcast one message, the body", "security": [{"authorization": []}],
      "requestBody": {"content": {"application/json": {"schema": {}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
      "responses": {"202": {"$ref": "#/components/responses/Accepted"}, "400": {"$ref": "#/components/responses/BadRequest"},
        "401": {"$ref": "#/components/responses/Message"}, "403": {"$ref": "#/components/responses/Message"},
        "415": {"description": "Another content type.", "content": {"application/json": {"schema": {
          "type": "object", "properties": {"error": {"type": "string"}}}}}},
        "422": {"$ref": "#/components/responses/Faults"}, "429": {"$ref": "#/components/responses/Message"}}}}}
})json";
  return kDocument;
}

}  // namespace rt::ops
