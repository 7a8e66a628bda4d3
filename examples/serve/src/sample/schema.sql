-- The sample shop: an outdoor outfitter with web traffic, stock, orders, money and staff.
-- Some keys are deliberately not declared, and some names are odd, as in databases that grew over years.
CREATE TABLE regions (
    region_id INTEGER PRIMARY KEY,
    name      VARCHAR(40) NOT NULL UNIQUE
);
CREATE TABLE countries (
    country_code CHAR(2) PRIMARY KEY,
    name         VARCHAR(60) NOT NULL,
    region_id    INTEGER NOT NULL REFERENCES regions (region_id),
    currency     CHAR(3) NOT NULL
) WITHOUT ROWID;
CREATE TABLE departments (
    id   INTEGER PRIMARY KEY,
    name VARCHAR(40) NOT NULL UNIQUE
);
CREATE TABLE employees (
    id            INTEGER PRIMARY KEY,
    full_name     VARCHAR(80) NOT NULL,
    email         VARCHAR(120) NOT NULL UNIQUE,
    department_id INTEGER NOT NULL REFERENCES departments (id),
    manager_id    INTEGER REFERENCES employees (id),
    hired_on      DATE NOT NULL
);
CREATE TABLE customers (
    id           INTEGER PRIMARY KEY,
    full_name    VARCHAR(80) NOT NULL,
    email        VARCHAR(120) NOT NULL UNIQUE,
    country_code CHAR(2) NOT NULL REFERENCES countries (country_code),
    segment      VARCHAR(12) NOT NULL CHECK (segment IN ('private', 'business', 'club')),
    newsletter   BOOLEAN NOT NULL DEFAULT 0,
    created_at   DATETIME NOT NULL
);
CREATE INDEX customers_country ON customers (country_code);
CREATE TABLE addresses (
    id           INTEGER PRIMARY KEY,
    customer_id  INTEGER NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    kind         VARCHAR(10) NOT NULL,
    street       VARCHAR(120) NOT NULL,
    city         VARCHAR(60) NOT NULL,
    postcode     VARCHAR(12) NOT NULL,
    country_code CHAR(2) NOT NULL
);
CREATE INDEX addresses_customer ON addresses (customer_id);
CREATE TABLE categories (
    id        INTEGER PRIMARY KEY,
    parent_id INTEGER REFERENCES categories (id),
    name      VARCHAR(60) NOT NULL
);
CREATE TABLE suppliers (
    supplier_id  INTEGER PRIMARY KEY,
    name         VARCHAR(80) NOT NULL,
    country_code CHAR(2) NOT NULL REFERENCES countries (country_code),
    rating       REAL
);
CREATE TABLE products (
    id              INTEGER PRIMARY KEY,
    sku             VARCHAR(16) NOT NULL UNIQUE,
    name            VARCHAR(120) NOT NULL,
    description     TEXT NOT NULL,
    category_id     INTEGER NOT NULL REFERENCES categories (id),
    supplier_id     INTEGER NOT NULL,
    list_price      DECIMAL(10, 2) NOT NULL CHECK (list_price > 0),
    weight_g        INTEGER,
    discontinued_on DATE
);
CREATE INDEX products_supplier ON products (supplier_id);
CREATE TABLE price_history (
    product_id INTEGER NOT NULL REFERENCES products (id),
    valid_from DATE NOT NULL,
    price      DECIMAL(10, 2) NOT NULL,
    PRIMARY KEY (product_id, valid_from)
);
CREATE TABLE tags (
    id    INTEGER PRIMARY KEY,
    label VARCHAR(30) NOT NULL UNIQUE
);
CREATE TABLE product_tags (
    product_id INTEGER NOT NULL REFERENCES products (id),
    tag_id     INTEGER NOT NULL REFERENCES tags (id),
    PRIMARY KEY (product_id, tag_id)
) WITHOUT ROWID;
CREATE TABLE warehouses (
    id           INTEGER PRIMARY KEY,
    name         VARCHAR(60) NOT NULL,
    country_code CHAR(2) NOT NULL REFERENCES countries (country_code)
);
CREATE TABLE stock_levels (
    warehouse_id  INTEGER NOT NULL REFERENCES warehouses (id),
    product_id    INTEGER NOT NULL REFERENCES products (id),
    on_hand       INTEGER NOT NULL DEFAULT 0,
    reorder_point INTEGER NOT NULL DEFAULT 0,
    counted_at    DATETIME,
    PRIMARY KEY (warehouse_id, product_id)
);
CREATE TABLE carriers (
    id   INTEGER PRIMARY KEY,
    name VARCHAR(40) NOT NULL UNIQUE
);
CREATE TABLE orders (
    id                  INTEGER PRIMARY KEY,
    customer_id         INTEGER NOT NULL REFERENCES customers (id),
    ordered_at          DATETIME NOT NULL,
    status              VARCHAR(12) NOT NULL CHECK (status IN ('open', 'paid', 'shipped', 'delivered', 'cancelled')),
    shipping_address_id INTEGER NOT NULL,
    billing_address_id  INTEGER NOT NULL,
    channel             VARCHAR(8) NOT NULL DEFAULT 'web',
    note                TEXT
);
CREATE INDEX orders_customer ON orders (customer_id);
CREATE INDEX orders_open ON orders (ordered_at) WHERE status = 'open';
CREATE TABLE order_items (
    id           INTEGER PRIMARY KEY,
    order_id     INTEGER NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    product_id   INTEGER NOT NULL REFERENCES products (id),
    quantity     INTEGER NOT NULL CHECK (quantity > 0),
    unit_price   DECIMAL(10, 2) NOT NULL,
    discount_pct REAL NOT NULL DEFAULT 0,
    line_total   DECIMAL(12, 2) GENERATED ALWAYS AS (round(quantity * unit_price * (1 - discount_pct / 100.0), 2)) VIRTUAL
);
CREATE INDEX order_items_order ON order_items (order_id);
CREATE INDEX order_items_product ON order_items (product_id);
CREATE TABLE invoices (
    id        INTEGER PRIMARY KEY,
    order_id  INTEGER NOT NULL,
    issued_on DATE NOT NULL,
    due_on    DATE NOT NULL,
    total     DECIMAL(12, 2) NOT NULL,
    paid_on   DATE
);
CREATE INDEX invoices_order ON invoices (order_id);
CREATE TABLE payments (
    id          INTEGER PRIMARY KEY,
    invoice_id  INTEGER NOT NULL,
    method      VARCHAR(12) NOT NULL,
    amount      DECIMAL(12, 2) NOT NULL,
    received_at DATETIME NOT NULL
);
CREATE TABLE shipments (
    id           INTEGER PRIMARY KEY,
    order_id     INTEGER NOT NULL REFERENCES orders (id),
    warehouse_id INTEGER NOT NULL,
    carrier_id   INTEGER NOT NULL REFERENCES carriers (id),
    tracking_no  VARCHAR(24) NOT NULL UNIQUE,
    shipped_at   DATETIME NOT NULL,
    delivered_at DATETIME
);
CREATE INDEX shipments_order ON shipments (order_id);
CREATE TABLE "tblReviews" (
    "ReviewID"   INTEGER PRIMARY KEY,
    "ProductID"  INTEGER NOT NULL,
    "CustomerID" INTEGER NOT NULL,
    "Stars"      INTEGER NOT NULL CHECK ("Stars" BETWEEN 1 AND 5),
    "Body"       TEXT,
    "PostedAt"   DATETIME NOT NULL
);
CREATE TABLE product_returns (
    id            INTEGER PRIMARY KEY,
    order_item_id INTEGER NOT NULL,
    reason        VARCHAR(30) NOT NULL,
    refund        DECIMAL(10, 2) NOT NULL,
    created_at    DATETIME NOT NULL
);
CREATE TABLE web_sessions (
    session_uuid CHAR(36) PRIMARY KEY,
    customer_id  INTEGER,
    device       VARCHAR(10) NOT NULL,
    referrer     VARCHAR(60),
    started_at   DATETIME NOT NULL
);
CREATE TABLE web_events (
    id           INTEGER PRIMARY KEY,
    session_uuid CHAR(36) NOT NULL,
    event_type   VARCHAR(16) NOT NULL,
    product_id   INTEGER,
    happened_at  DATETIME NOT NULL
);
CREATE INDEX web_events_session ON web_events (session_uuid);
CREATE TABLE audit_log (
    id                INTEGER PRIMARY KEY,
    table_name        VARCHAR(40) NOT NULL,
    row_id            INTEGER NOT NULL,
    actor_employee_id INTEGER NOT NULL,
    action            VARCHAR(10) NOT NULL,
    detail            JSON,
    logged_at         DATETIME NOT NULL
);
CREATE TRIGGER invoices_paid AFTER UPDATE OF paid_on ON invoices
WHEN new.paid_on IS NOT NULL AND old.paid_on IS NULL
BEGIN
    UPDATE orders SET status = 'paid' WHERE id = new.order_id AND status = 'open';
END;
CREATE VIEW open_invoices AS
SELECT i.id AS invoice_id, i.order_id, o.customer_id, c.full_name AS customer, i.issued_on, i.due_on, i.total
FROM invoices AS i
JOIN orders AS o ON o.id = i.order_id
JOIN customers AS c ON c.id = o.customer_id
WHERE i.paid_on IS NULL;
CREATE VIEW product_sales AS
SELECT p.id AS product_id, p.sku, p.name, count(*) AS lines, sum(oi.quantity) AS units, round(sum(oi.line_total), 2) AS revenue
FROM products AS p
JOIN order_items AS oi ON oi.product_id = p.id
GROUP BY p.id, p.sku, p.name;
CREATE VIEW monthly_revenue AS
SELECT strftime('%Y-%m', o.ordered_at) AS month, count(DISTINCT o.id) AS orders, round(sum(oi.line_total), 2) AS revenue
FROM orders AS o
JOIN order_items AS oi ON oi.order_id = o.id
WHERE o.status <> 'cancelled'
GROUP BY 1;
CREATE VIEW customer_value AS
SELECT c.id AS customer_id, c.full_name, c.segment, count(DISTINCT o.id) AS orders, round(sum(oi.line_total), 2) AS lifetime_value
FROM customers AS c
LEFT JOIN orders AS o ON o.customer_id = c.id AND o.status <> 'cancelled'
LEFT JOIN order_items AS oi ON oi.order_id = o.id
GROUP BY c.id, c.full_name, c.segment;
CREATE VIEW stock_alerts AS
SELECT w.name AS warehouse, p.sku, p.name AS product, s.on_hand, s.reorder_point
FROM stock_levels AS s
JOIN warehouses AS w ON w.id = s.warehouse_id
JOIN products AS p ON p.id = s.product_id
WHERE s.on_hand < s.reorder_point AND p.discontinued_on IS NULL;
