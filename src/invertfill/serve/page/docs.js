// The endpoint's description by Swagger UI, with all of it open and its examples ready to be sent.

SwaggerUIBundle({
  dom_id: "#docs",
  url: "/openapi.json",
  docExpansion: "full",
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: -1,
  defaultModelRendering: "model",
  validatorUrl: null,
});
