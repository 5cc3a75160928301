// SPDX-License-Identifier: Apache-2.0

package signin

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn/claimrule"
	"github.com/lanyard-dev/lanyard/registry/authn/credential"
	"github.com/lanyard-dev/lanyard/registry/authn/federated"
	"github.com/lanyard-dev/lanyard/registry/authn/idtoken"
	"github.com/lanyard-dev/lanyard/registry/ratelimit"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// What a token exchange is asked for with (RFC 8693).
const (
	exchangeGrant   = "urn:ietf:params:oauth:grant-type:token-exchange"
	idTokenType     = "urn:ietf:params:oauth:token-type:id_token"
	jwtType         = "urn:ietf:params:oauth:token-type:jwt"
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token"
)

// Jobs have no credential of ours yet, and those of a forge share its networks: one network may exchange 60 tokens at once and one a second, on each replica, unless [Config] says otherwise.
const (
	exchangeRate  = 1.0
	exchangeBurst = 60
)

// IDTokens verifies ID tokens. An *issuer.Issuers does.
type IDTokens interface {
	// Verify returns an *[idtoken.Error] unless issuer signed the token for this audience alone and it is good now.
	Verify(ctx context.Context, issuer, audience, raw string) (idtoken.Token, error)
}

// exchangeAnswer is one of RFC 8693, section 2.2.1.
type exchangeAnswer struct {
	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int    `json:"expires_in"`
}

// exchange gives a job a bearer for its ID token. Every refusal is the same to the caller: which federations there are, and what they want of a token, is told to owners of the organization alone, in
// the audit log. It reads no cookie.
func (s *server) exchange(w http.ResponseWriter, r *http.Request, form func(string) string) {
	a := act(w, r, "anonymous")
	if wait, ok := s.exchanges.Take(ratelimit.Network(a.SourceIP), time.Now()); !ok {
		s.exchanged.count(outcomeLimited)
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(wait.Seconds())))))
		refuseToken(w, http.StatusTooManyRequests, "slow_down")
		return
	}
	raw, kind, wanted := form("subject_token"), form("subject_token_type"), form("requested_token_type")
	if raw == "" || form("organization") == "" || form("federation") == "" || kind != idTokenType && kind != jwtType || wanted != "" && wanted != accessTokenType || form("actor_token") != "" {
		s.exchanged.count(outcomeInvalid)
		refuseToken(w, http.StatusBadRequest, "invalid_request")
		return
	}
	f, err := s.federation(r.Context(), form("organization"), form("federation"))
	switch {
	case errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrIntegrity):
		s.refuseExchange(w, r, a, store.Federation{}, reasonFederation, nil)
		return
	case err != nil:
		s.exchangeUnavailable(w, r, outcomeUnavailable, err)
		return
	}
	token, err := s.IDTokens.Verify(r.Context(), f.Issuer, f.Audience, raw)
	switch reason := idtoken.ReasonOf(err); {
	case err == nil:
	case reason == idtoken.Unreachable:
		s.exchangeUnavailable(w, r, outcome(reason), err)
		return
	default:
		s.refuseExchange(w, r, a, f, outcome(reason), err)
		return
	}
	a.Actor = federated.Principal(f.Name, token.Subject)
	if claim, ok := claimrule.Match(f.Claims, token.Claims); !ok {
		s.refuseExchange(w, r, a, f, reasonClaims, errors.New("claim "+claim+" is not what the federation says"))
		return
	}
	s.giveBearer(w, r, a, f, token)
}

// federation looks a federation up, as both names are given.
func (s *server) federation(ctx context.Context, organization, name string) (store.Federation, error) {
	o, err := s.Store.Organization(ctx, organization)
	if err != nil {
		return store.Federation{}, err
	}
	return s.Store.Federation(ctx, o.ID, name)
}

func (s *server) giveBearer(w http.ResponseWriter, r *http.Request, a store.Act, f store.Federation, token idtoken.Token) {
	var text string
	made, err := s.Store.RedeemIDToken(r.Context(), a, f, store.IDToken{Sum: token.Sum, ExpiresAt: token.ExpiresAt}, func(id string) [32]byte {
		text = credential.New(federated.Prefix, id)
		return credential.Sum(text)
	})
	switch {
	case errors.Is(err, store.ErrRedeemed):
		s.refuseExchange(w, r, a, f, reasonRedeemed, nil)
	case errors.Is(err, store.ErrNotFound): // deleted since
		s.refuseExchange(w, r, a, f, reasonFederation, nil)
	case errors.Is(err, store.ErrTooMany):
		s.refuseExchange(w, r, a, f, reasonTooMany, nil)
	case err != nil:
		s.exchangeUnavailable(w, r, outcomeUnavailable, err)
	default:
		s.exchanged.count(outcomeOK)
		answerJSON(w, http.StatusOK, exchangeAnswer{
			AccessToken: text, IssuedTokenType: accessTokenType, TokenType: "Bearer", ExpiresIn: int(time.Until(made.ExpiresAt) / time.Second),
		})
	}
}

// refuseExchange answers a refusal and has it logged, and audited if it is of a federation. The actor is the job's only if the issuer signed for it: what somebody writes into a token of his own must not fill
// the log.
func (s *server) refuseExchange(w http.ResponseWriter, r *http.Request, a store.Act, f store.Federation, reason outcome, err error) {
	s.exchanged.count(reason)
	s.Log.LogAttrs(r.Context(), slog.LevelInfo, "ID token not exchanged",
		slog.String("request_id", a.RequestID), slog.String("principal", a.Actor), slog.String("federation", f.Name), slog.String("reason", string(reason)), slog.Any("err", err))
	if s.Denials != nil && f.ID != "" {
		s.Denials.Record(r.Context(), audit.Event{
			ID: uuid.Must(uuid.NewV7()).String(), Time: time.Now().UTC().Truncate(time.Millisecond), RequestID: a.RequestID, Actor: a.Actor, SourceIP: a.SourceIP, OrgID: f.OrgID,
			Action: audit.FederationExchange, Outcome: audit.Denied, Reason: string(reason), ResourceKind: "federation", ResourceID: f.ID, ResourceName: f.Name,
		})
	}
	refuseToken(w, http.StatusBadRequest, "invalid_grant")
}

// exchangeUnavailable answers what says nothing of the token: a program may try again.
func (s *server) exchangeUnavailable(w http.ResponseWriter, r *http.Request, reason outcome, err error) {
	s.exchanged.count(reason)
	s.Log.WarnContext(r.Context(), "ID token not checked", slog.String("request_id", w.Header().Get("X-Request-Id")), slog.String("reason", string(reason)), slog.Any("err", err))
	w.Header().Set("Retry-After", "5")
	refuseToken(w, http.StatusServiceUnavailable, "temporarily_unavailable")
}
